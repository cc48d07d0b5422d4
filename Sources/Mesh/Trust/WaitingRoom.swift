import DWN

/// Checked writes whose place cannot be judged yet, because the record above them or the definition was not shown so far. They
/// decide nothing, and are forgotten at a restart.
struct WaitingRoom: Sendable {
  static let limit = 1_024
  static let dataLimit = 4 << 20

  private var entries: [String: RecordChecks.CheckedWrite] = [:]
  private var dataSize = 0

  mutating func add(_ write: RecordChecks.CheckedWrite) {
    let element = write.write.signed.element
    let size = write.data?.count ?? 0
    guard entries[element] == nil, entries.count < Self.limit, dataSize + size <= Self.dataLimit else { return }
    entries[element] = write
    dataSize += size
  }

  /// Takes everybody out, in order of time.
  mutating func takeAll() -> [RecordChecks.CheckedWrite] {
    defer {
      entries = [:]
      dataSize = 0
    }
    return entries.values.sorted { $0.write.message.isNewer(than: $1.write.message) == false }
  }

  var isEmpty: Bool { entries.isEmpty }
}
