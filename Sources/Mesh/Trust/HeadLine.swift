public import DWN
import Wire

/// The heads of one network: the accepted one, and newer ones that wait for their set.
struct HeadLine: Sendable {
  struct Entry: Sendable {
    let record: HeadRecord
    let write: RecordsWrite
    let data: [UInt8]
    let initial: RecordsWrite

    var stamp: WallTime { write.timestamp }
    var element: String { write.signed.element }
  }

  /// Heads that wait; of more the lowest are forgotten.
  static let limit = 16

  private(set) var accepted: Entry?
  /// By rising `seq`.
  private(set) var pending: [Entry] = []
  /// What the delivered key said: a head below it waits for ever. Showing one is no lie while the one that admitted this device is
  /// still on its way.
  private(set) var lowestSeq: Int64 = 1

  var newest: Entry? { pending.last ?? accepted }

  /// The highest epoch in any verified head.
  var highestEpoch: KeyEpoch? { (pending + [accepted].compactMap { $0 }).map(\.record.epoch).max() }

  /// Returns `false` when it was already there.
  mutating func insert(_ write: RecordsWrite, data: [UInt8], initial: RecordsWrite) throws(Rejection) -> Bool {
    let record: HeadRecord
    do { record = try HeadRecord(parsing: data) } catch { throw Rejection(.headMalformed(error.description)) }
    let entry = Entry(record: record, write: write, data: data, initial: initial)
    let known = pending + [accepted].compactMap { $0 }
    if known.contains(where: { $0.element == entry.element }) { return false }
    if let same = known.first(where: { $0.record.seq == record.seq }) {
      throw Rejection(same.record == record ? .headNotRising : .equivocation)
    }
    if let accepted, record.seq < accepted.record.seq || entry.stamp <= accepted.stamp {
      throw Rejection(.headNotRising)
    }
    pending.insert(entry, at: pending.firstIndex { $0.record.seq > record.seq } ?? pending.count)
    if pending.count > Self.limit { pending.removeFirst() }
    return true
  }

  mutating func accept(_ entry: Entry) {
    accepted = entry
    pending.removeAll { $0.record.seq <= entry.record.seq || $0.stamp <= entry.stamp }
  }

  mutating func require(seq: Int64) {
    lowestSeq = max(lowestSeq, seq)
  }
}

extension MeshReader {
  /// The highest `seq` of the anchor's heads among what a node shows: how far it is at least. A head that is made up says nothing, and
  /// more than a few are not looked at, since a node has one.
  public func newestHead(among entries: [ReplyEntry]) -> Int64? {
    let shown = entries.lazy.filter { $0.message["descriptor"]?["protocolPath"]?.string == MeshProtocol.head.text }
    return shown.prefix(HeadLine.limit).compactMap { seq(ofHead: $0) }.max()
  }

  private func seq(ofHead entry: ReplyEntry) -> Int64? {
    if let known = archive.known(entry) {
      return (heads.pending + [heads.accepted].compactMap { $0 }).first { $0.element == known.element }?.record.seq
    }
    guard case .write(let checked) = try? checks.check(entry), checked.write.path == MeshProtocol.head else {
      return nil
    }
    return checked.data.flatMap { try? HeadRecord(parsing: $0) }?.seq
  }
}
