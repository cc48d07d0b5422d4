import DWN
import Identity
public import Wire

/// What a new network begins with.
public struct NetworkPlan: Hashable, Sendable {
  public var record: NetworkRecord
  /// The name of the anchor's own machine; `nil`: its hostname.
  public var label: String?
  public var envelope: Envelope
  /// The relay that the anchor runs. It has the id 1.
  public var relay: RelayPlan?

  public init(record: NetworkRecord, label: String? = nil, envelope: Envelope = .jwe, relay: RelayPlan? = nil) {
    self.record = record
    self.label = label
    self.envelope = envelope
    self.relay = relay
  }
}

extension Ledger {
  /// Begins a network: the definitions where they are not installed yet, the network, this machine as its first node, a policy
  /// that accepts everything (`trust.md` section 5), its relay if it has one, and the first head. The anchor derives its keys and is
  /// delivered none. With encryption v1 there is no head, and the keys of those who read are minted before anything is encrypted to
  /// them.
  ///
  /// Throws `otherEnvelope` where this identity has a network with another.
  public mutating func createNetwork(
    _ plan: NetworkPlan, now: WallTime, random: any RandomSource
  ) throws(LedgerError) -> (network: NetworkReference, change: LedgerChange) {
    if !foreign.isEmpty { throw .foreignWriter(foreignRecord) }
    try requireNoOther(than: plan.envelope)
    var next = self
    var change = LedgerChange()
    let data: [UInt8]
    let meshIP: IPAddress
    do throws(MeshError) {
      data = try plan.record.encoded()
      meshIP = try AddressPlan(plan.record.meshCIDR).allocate(for: identity.did, taken: [])
    } catch {
      throw .mesh(error)
    }
    try next.configure(plan.envelope, now: now, to: &change)
    let root = try next.write(
      RecordDraft(
        protocolURI: MeshProtocol.uri, path: MeshProtocol.network,
        schema: MeshProtocol.schema(of: MeshProtocol.network),
        tags: plan.envelope == .jwe ? [Envelope.tag: .string(plan.envelope.rawValue)] : nil, data: data),
      tenant: identity.did, network: nil, now: now, to: &change)
    let network = NetworkID(root.recordID)
    if plan.envelope == .v1 { try next.mintAudiences(in: network, now: now, random: random, to: &change) }
    try next.write(
      NodeRecord(meshIP: meshIP, addedAt: now, label: plan.label), at: MeshProtocol.node, recipient: identity.did,
      in: network,
      now: now, random: random, to: &change)
    try next.write(
      ACLPolicy.acceptAll, at: MeshProtocol.aclPolicy, squash: true, in: network, now: now, random: random, to: &change)
    if let relay = plan.relay { try next.write(relay, in: network, now: now, random: random, to: &change) }
    try next.writeDueHeads(now: now, to: &change)
    self = next
    return (NetworkReference(id: network, anchor: identity.did, envelope: plan.envelope), change)
  }

  /// Installs the definitions of an envelope on this identity's tenant: an anchor's own, so that a node can be asked whether it takes
  /// them before there is a network; or those by which a member of a network with encryption v1 can be delivered keys. Empty where
  /// they are installed already. Throws `otherEnvelope` where this identity has a network with another.
  public mutating func install(_ envelope: Envelope, now: WallTime) throws(LedgerError) -> LedgerChange {
    if !foreign.isEmpty { throw .foreignWriter(foreignRecord) }
    try requireNoOther(than: envelope)
    var next = self
    var change = LedgerChange()
    try next.configure(envelope, now: now, to: &change)
    self = next
    return change
  }

  private func requireNoOther(than envelope: Envelope) throws(LedgerError) {
    if let other = owned.values.first(where: { $0.envelope != envelope }) { throw .otherEnvelope(other.envelope) }
  }

  private mutating func configure(
    _ envelope: Envelope, now: WallTime, to change: inout LedgerChange
  ) throws(LedgerError) {
    try configure(.mesh(of: identity, envelope: envelope), now: now, to: &change)
    if envelope == .jwe { try configure(.keyDelivery(of: identity), now: now, to: &change) }
  }

  /// Writes the network's record anew where it differs: its name, or where the anchor's node can be reached. Returns an empty
  /// change when nothing differs.
  public mutating func updateNetwork(
    _ network: NetworkID, now: WallTime, _ body: (inout NetworkRecord) -> Void
  ) throws(LedgerError) -> LedgerChange {
    let owned = try requireOwned(network)
    guard var record = owned.record, let newest = owned.records.newest(.record(network.recordID)) else {
      throw .corrupt(reason: "the network's record does not parse")
    }
    let before = record
    body(&record)
    if record == before { return LedgerChange() }
    let data: [UInt8]
    do throws(MeshError) { data = try record.encoded() } catch { throw .mesh(error) }
    var next = self
    var change = LedgerChange()
    try next.write(
      RecordDraft(updating: newest.write, data: data), tenant: identity.did, network: network, now: now, to: &change)
    try next.writeDueHeads(now: now, to: &change)
    self = next
    return change
  }

  /// Puts another policy into force: the text of a policy file, which is checked and stored unchanged in meaning.
  public mutating func setPolicy(
    _ policy: ACLPolicy, in network: NetworkID, now: WallTime, random: any RandomSource
  ) throws(LedgerError) -> LedgerChange {
    var next = self
    var change = LedgerChange()
    try next.write(policy, at: MeshProtocol.aclPolicy, squash: true, in: network, now: now, random: random, to: &change)
    try next.writeDueHeads(now: now, to: &change)
    self = next
    return change
  }
}
