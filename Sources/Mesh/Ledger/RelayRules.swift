import DWN
import Identity
public import Wire

/// The anchor's relay records (`reach.md` section 2). An id is given once and never again, also after its record was removed.
extension Ledger {
  /// Relays that a mesh has at most.
  public static let relayLimit = 32

  /// The relays in force, by id.
  public func relays(of network: NetworkID) -> [RelayRecord] { owned[network]?.relays.map(\.record) ?? [] }

  /// The same, with the time of writing.
  public func recordedRelays(of network: NetworkID) -> [LedgerRelay] {
    (owned[network]?.relays ?? []).map { LedgerRelay(record: $0.record, writtenAt: $0.write.timestamp) }
  }

  /// Adds a relay under an id that no relay of this network ever had; the first has 1. Throws `relayThere` when one is at the same
  /// host and port, and `relayLimit`.
  public mutating func addRelay(
    _ plan: RelayPlan, to network: NetworkID, now: WallTime, random: any RandomSource
  ) throws(LedgerError) -> (relay: RelayRecord, change: LedgerChange) {
    var next = self
    var change = LedgerChange()
    let relay = try next.write(plan, in: network, now: now, random: random, to: &change)
    try next.writeDueHeads(now: now, to: &change)
    self = next
    return (relay, change)
  }

  /// Writes a relay's record anew under its id; an empty change where it says the same. Throws `unknownRelay`.
  public mutating func changeRelay(
    _ id: UInt16, to plan: RelayPlan, in network: NetworkID, now: WallTime, random: any RandomSource
  ) throws(LedgerError) -> LedgerChange {
    let owned = try requireOwned(network)
    guard let former = owned.relays.first(where: { $0.record.id == id }) else { throw .unknownRelay(id) }
    let record = RelayRecord(id: id, plan)
    if record == former.record { return LedgerChange() }
    var next = self
    var change = LedgerChange()
    guard let cipher = owned.cipher else { throw .noKey }
    let draft: RecordDraft
    do throws(MeshError) {
      let sealed = try cipher.seal(try cipher.payload(of: record).encoded(), at: MeshProtocol.relay, random: random)
      draft = RecordDraft(updating: former.write, encryption: sealed.encryption, data: sealed.data)
    } catch {
      throw .mesh(error)
    }
    try next.write(draft, tenant: identity.did, network: network, now: now, to: &change)
    try next.writeDueHeads(now: now, to: &change)
    self = next
    return change
  }

  /// Ends a relay's record. Throws `unknownRelay`.
  public mutating func removeRelay(
    _ id: UInt16, from network: NetworkID, now: WallTime
  ) throws(LedgerError) -> LedgerChange {
    guard let former = try requireOwned(network).relays.first(where: { $0.record.id == id }) else {
      throw .unknownRelay(id)
    }
    var next = self
    var change = LedgerChange()
    try next.end(former.write.recordID, in: network, now: now, to: &change)
    try next.writeDueHeads(now: now, to: &change)
    self = next
    return change
  }

  /// Says what is so of the relay that the anchor itself runs: adds its record, writes it anew, or changes nothing. It is known by its
  /// certificate, else by its host and port.
  public mutating func announceRelay(
    _ plan: RelayPlan, in network: NetworkID, now: WallTime, random: any RandomSource
  ) throws(LedgerError) -> LedgerChange {
    let own = try requireOwned(network).relays.map(\.record).filter { $0.nodeDID == nil }
    let former =
      own.first { $0.certSHA256 != nil && $0.certSHA256 == plan.certSHA256 }
      ?? own.first { $0.host == plan.host && $0.port == plan.port }
    guard let former else { return try addRelay(plan, to: network, now: now, random: random).change }
    var plan = plan
    if plan.region == nil { plan.region = former.region }
    return try changeRelay(former.id, to: plan, in: network, now: now, random: random)
  }

  /// Signs the record of a new relay.
  @discardableResult
  mutating func write(
    _ plan: RelayPlan, in network: NetworkID, now: WallTime, random: any RandomSource, to change: inout LedgerChange
  ) throws(LedgerError) -> RelayRecord {
    let owned = try requireOwned(network)
    if let there = owned.relays.first(where: { $0.record.host == plan.host && $0.record.port == plan.port }) {
      throw .relayThere(there.record.id)
    }
    guard owned.relays.count < Self.relayLimit, let id = owned.nextRelayID else { throw .relayLimit }
    let relay = RelayRecord(id: id, plan)
    guard let cipher = owned.cipher else { throw .noKey }
    let payload: any MeshPayload
    do { payload = try cipher.payload(of: relay) } catch { throw .mesh(error) }
    try write(payload, at: MeshProtocol.relay, in: network, now: now, random: random, to: &change)
    return relay
  }
}

/// A relay of an own network, as the ledger knows it.
public struct LedgerRelay: Hashable, Sendable {
  public var record: RelayRecord
  public var writtenAt: WallTime

  public init(record: RelayRecord, writtenAt: WallTime) {
    self.record = record
    self.writtenAt = writtenAt
  }
}
