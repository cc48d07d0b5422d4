import DWN
import Wire

extension MeshReader {
  /// Puts what was stored back, through the same checks. What no longer passes them is left out.
  mutating func restore(_ stored: StoredNetwork) {
    guard stored != StoredNetwork() else { return }
    var writes: [RecordChecks.CheckedWrite] = []
    var initials: [RecordID: RecordsWrite] = [:]
    for message in stored.messages {
      guard let json = try? JSONValue(parsing: message.json, depth: Message.maximumDepth, limit: Message.maximumSize),
        let checked = try? checks.check(ReplyEntry(message: json, data: message.data))
      else { continue }
      switch checked {
      case .definition(let signed, let definition): _ = try? records.insert(signed, definition)
      case .write(let write):
        if write.write.isInitial { initials[write.write.recordID] = write.write }
        if write.data != nil { writes.append(write) }
      case .delete, .revocation, .irrelevant: continue
      }
    }
    writes.sort { ($0.write.path.depth, $0.write.timestamp) < ($1.write.path.depth, $1.write.timestamp) }
    var restoredHeads: [HeadLine.Entry] = []
    for write in writes {
      guard let data = write.data, let initial = initials[write.write.recordID] else { continue }
      switch (write.write.protocolURI, write.write.path) {
      case (_, _) where write.write.carriesMeshKeys:
        _ = try? keys.take(write.write, data: data, initial: initial, into: &records)
      case (_, MeshProtocol.head):
        if let record = try? HeadRecord(parsing: data) {
          restoredHeads.append(HeadLine.Entry(record: record, write: write.write, data: data, initial: initial))
        }
      default: _ = try? records.insert(write.write, data: data, initial: initial)
      }
    }
    opened.use(keys.opening)
    records.restore(ended: stored.ended)
    if !network.envelope.hasHeads { acceptedAt = stored.accepted?.acceptedAt }
    if let accepted = stored.accepted, let head = restoredHeads.first(where: { $0.element == accepted.head }) {
      let set = records.liveSet(at: head.stamp)
      if set.hash == head.record.records {
        heads.accept(head)
        records.accept(set, at: head.stamp)
        acceptedAt = accepted.acceptedAt
      }
    }
    records.dropEndedBeyondHead()
    heads.require(seq: keys.lowestSeq ?? 1)
    for head in restoredHeads { _ = try? heads.insert(head.write, data: head.data, initial: head.initial) }
    openHeld()
    archive.begin(self, stored: stored)
  }
}
