import DWN
import Identity
public import Wire

extension Ledger {
  /// A head at least this often, so that silence can be told from freezing.
  public static let headInterval: Duration = .seconds(3600)
  /// At most one head in this time; changes within it share one.
  public static let headSpacing: Duration = .seconds(1)

  /// When the next head of any own network is to be written, if nothing else changes. `nil`: there is no network that has heads.
  public var headDue: WallTime? { owned.values.filter(\.envelope.hasHeads).map { due(of: $0) }.min() }

  /// Whether something was decided that no head covers yet: it is written within `headSpacing`.
  public func owesHead(for network: NetworkID) -> Bool { owned[network]?.owesHead ?? false }

  /// Writes the heads that are due. The change is empty when none is.
  public mutating func writeDueHeads(now: WallTime) throws(LedgerError) -> LedgerChange {
    var next = self
    var change = LedgerChange()
    try next.writeDueHeads(now: now, to: &change)
    self = next
    return change
  }

  mutating func writeDueHeads(now: WallTime, to change: inout LedgerChange) throws(LedgerError) {
    for network in owned.keys.sorted() {
      guard let owned = owned[network], owned.envelope.hasHeads else { continue }
      // A clock that was set back must not keep changes from being covered.
      let wasSetBack = owned.head.map { now + Self.headSpacing < $0.stamp } ?? false
      guard due(of: owned) <= now || (wasSetBack && owned.owesHead) else { continue }
      try writeHead(of: network, now: now, to: &change)
    }
  }

  private func due(of owned: OwnedNetwork) -> WallTime {
    guard let head = owned.head else { return WallTime(microseconds: .min) }
    return head.stamp + (owned.owesHead ? Self.headSpacing : Self.headInterval)
  }

  mutating func writeHead(
    of network: NetworkID, epoch: KeyEpoch? = nil, now: WallTime, to change: inout LedgerChange
  ) throws(LedgerError) {
    let owned = try requireOwned(network)
    let head = HeadRecord(seq: owned.nextSeq, epoch: epoch ?? owned.epoch, records: owned.liveSet.hash)
    let data: [UInt8]
    do throws(MeshError) { data = try head.encoded() } catch { throw .mesh(error) }
    try write(
      RecordDraft(
        protocolURI: MeshProtocol.uri, path: MeshProtocol.head, parent: network.contextID,
        schema: MeshProtocol.schema(of: MeshProtocol.head), squash: true, data: data),
      tenant: identity.did, network: network, now: now, to: &change)
    let heads = log.messages.filter { $0.isHead && $0.network == network }
    let replaced = Set(heads.dropLast(Self.keptHeads).map(\.element))
    log.reduce(replaced.subtracting(try requireOwned(network).headsOfEpochs), in: &change)
  }
}
