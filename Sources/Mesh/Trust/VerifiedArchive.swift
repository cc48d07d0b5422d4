import Cryptography
import DWN
import Wire

/// What of a reader is stored at the moment, so that only differences are written, and messages that come again are recognised
/// without verifying them again.
struct VerifiedArchive: Sendable {
  private struct Kept: Sendable {
    let signed: SignedMessage
    let data: [UInt8]?
  }

  private var kept: [String: Kept] = [:]
  private var ended: [RecordID: WallTime] = [:]
  /// What the store has and the reader did not take back.
  private var stale: Set<String> = []
  private var acceptance: StoredAcceptance?

  /// The message that is held under the signed payload of this entry, if the entry is it to the last byte. A held message that
  /// is shown without its data counts as shown: its data is here.
  func known(_ entry: ReplyEntry) -> (element: String, record: RecordID?)? {
    guard let element = SignedMessage.element(of: entry.message), let held = kept[element],
      held.signed.message.value == entry.message,
      let data = held.data ?? (held.signed.message.kind == .recordsWrite ? nil : []),
      entry.data == nil || entry.data == data
    else { return nil }
    return (element, entry.message["recordId"]?.string.flatMap { RecordID($0) })
  }

  /// Begins with what was stored and what the reader made of it.
  mutating func begin(_ reader: MeshReader, stored: StoredNetwork) {
    _ = update(reader)
    stale = Set(stored.messages.map(\.element)).subtracting(kept.keys)
  }

  /// The elements of everything that is held.
  var elements: some Collection<String> { kept.keys }

  /// Brings the archive up to date with the reader; what changed is what the store has to change.
  mutating func update(_ reader: MeshReader) -> VerifiedChange {
    var now: [String: Kept] = [:]
    func keep(_ signed: SignedMessage, _ data: [UInt8]?) {
      if data == nil, now[signed.element] != nil { return }
      now[signed.element] = Kept(signed: signed, data: data)
    }
    for (_, versions) in reader.records.slots {
      for version in versions { keep(version.write.signed, version.data) }
    }
    for (_, initial) in reader.records.initials { keep(initial.signed, nil) }
    for entry in reader.records.definitions { keep(entry.signed, nil) }
    for head in reader.heads.pending + [reader.heads.accepted].compactMap({ $0 }) {
      keep(head.write.signed, head.data)
      keep(head.initial.signed, nil)
    }
    if let delivery = reader.keys.held {
      keep(delivery.write.signed, delivery.data)
      keep(delivery.initial.signed, nil)
    }
    var change = VerifiedChange()
    for (element, message) in now where kept[element].map({ $0.data != message.data }) ?? true {
      change.kept.append(StoredMessage(message.signed, data: message.data))
    }
    change.kept.sort { $0.element < $1.element }
    change.dropped = stale.union(kept.keys).filter { now[$0] == nil }.sorted()
    stale = []
    for (record, stamp) in reader.records.ended where ended[record] != stamp { change.ended[record] = stamp }
    change.forgotten = ended.keys.filter { reader.records.ended[$0] == nil }.sorted()
    if let acceptedAt = reader.acceptedAt {
      let acceptance = StoredAcceptance(head: reader.heads.accepted?.element ?? "", acceptedAt: acceptedAt)
      if acceptance != self.acceptance { change.accepted = acceptance }
      self.acceptance = acceptance
    }
    kept = now
    ended = reader.records.ended
    return change
  }
}

extension SignedMessage {
  /// The element that a message would have, taken from its JSON without verifying anything.
  static func element(of json: JSONValue) -> String? {
    json["authorization"]?["signature"]?["payload"]?.string.map { Base64.encode(SHA2.sha256(Array($0.utf8))) }
  }
}
