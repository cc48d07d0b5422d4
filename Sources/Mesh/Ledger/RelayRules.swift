public import Cryptography
import DWN
public import Identity
public import Wire

/// What the anchor makes a relay record of. The id it gives itself.
public struct RelayPlan: Hashable, Sendable {
  public var host: RelayHost
  public var port: UInt16
  public var ipv4: IPAddress?
  public var ipv6: IPAddress?
  /// SHA-256 of the leaf certificate's DER; without it the certificate is checked against the system's roots.
  public var certSHA256: Bytes32?
  /// UDP ports that answer STUN: none, one, or two.
  public var stunPorts: [UInt16]
  public var stunOnly: Bool
  /// A label for people; `nil`: the id.
  public var region: String?
  /// The member's machine that runs it, if one does.
  public var nodeDID: DID?

  public init(
    host: RelayHost, port: UInt16, ipv4: IPAddress? = nil, ipv6: IPAddress? = nil, certSHA256: Bytes32? = nil,
    stunPorts: [UInt16] = [], stunOnly: Bool = false, region: String? = nil, nodeDID: DID? = nil
  ) {
    self.host = host
    self.port = port
    self.ipv4 = ipv4
    self.ipv6 = ipv6
    self.certSHA256 = certSHA256
    self.stunPorts = stunPorts
    self.stunOnly = stunOnly
    self.region = region
    self.nodeDID = nodeDID
  }

  /// What a member offers. `nil` where the offer says neither a name nor an address.
  public init?(_ offer: RelayOffer, of node: DID, region: String?) {
    guard let host = offer.host ?? (offer.ipv4 ?? offer.ipv6).map({ .address($0) }) else { return nil }
    self.init(
      host: host, port: offer.port, ipv4: offer.ipv4, ipv6: offer.ipv6, certSHA256: offer.certSHA256,
      stunPorts: offer.stunPorts, region: region, nodeDID: node)
  }

  /// The plan that a record follows.
  public init(_ record: RelayRecord) {
    self.init(
      host: record.host, port: record.port, ipv4: record.ipv4, ipv6: record.ipv6, certSHA256: record.certSHA256,
      stunPorts: record.stunPorts, stunOnly: record.stunOnly, region: record.region, nodeDID: record.nodeDID)
  }

  func record(id: UInt16) -> RelayRecord {
    RelayRecord(
      id: id, host: host, port: port, ipv4: ipv4, ipv6: ipv6, certSHA256: certSHA256, stunPorts: stunPorts,
      stunOnly: stunOnly, region: region ?? String(id), nodeDID: nodeDID)
  }
}

/// The anchor's relay records (`reach.md` section 2). An id is given once and never again, also after its record was removed.
extension Ledger {
  /// Relays that a mesh has at most.
  public static let relayLimit = 32

  /// The relays in force, by id.
  public func relays(of network: NetworkID) -> [RelayRecord] { owned[network]?.relays.map(\.record) ?? [] }

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
    let record = plan.record(id: id)
    if record == former.record { return LedgerChange() }
    var next = self
    var change = LedgerChange()
    guard let cipher = owned.cipher else { throw .noKey }
    let draft: RecordDraft
    do throws(MeshError) {
      let sealed = try cipher.seal(try record.encoded(), at: MeshProtocol.relay, random: random)
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
    let relay = plan.record(id: id)
    try write(relay, at: MeshProtocol.relay, in: network, now: now, random: random, to: &change)
    return relay
  }
}
