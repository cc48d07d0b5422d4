import DWN
import Identity
public import Wire

/// What a new network begins with.
public struct NetworkPlan: Hashable, Sendable {
  public var record: NetworkRecord
  /// The name of the anchor's own machine; `nil`: its hostname.
  public var label: String?

  public init(record: NetworkRecord, label: String? = nil) {
    self.record = record
    self.label = label
  }
}

extension Ledger {
  /// Begins a network: the definitions where they are not installed yet, the network, this machine as its first node, a policy
  /// that accepts everything (`trust.md` section 5), and the first head. The anchor derives its keys and is delivered none.
  public mutating func createNetwork(
    _ plan: NetworkPlan, now: WallTime, random: any RandomSource
  ) throws(LedgerError) -> (network: NetworkReference, change: LedgerChange) {
    if !foreign.isEmpty { throw .foreignWriter(foreignRecord) }
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
    try next.configure(.mesh(of: identity), now: now, to: &change)
    try next.configure(.keyDelivery(of: identity), now: now, to: &change)
    let root = try next.write(
      RecordDraft(
        protocolURI: MeshProtocol.uri, path: MeshProtocol.network,
        schema: MeshProtocol.schema(of: MeshProtocol.network),
        tags: [Envelope.tag: .string(Envelope.jwe.rawValue)], data: data),
      tenant: identity.did, network: nil, now: now, to: &change)
    let network = NetworkID(root.recordID)
    try next.write(
      NodeRecord(meshIP: meshIP, addedAt: now, label: plan.label), at: MeshProtocol.node, recipient: identity.did,
      in: network,
      now: now, random: random, to: &change)
    try next.write(
      ACLPolicy.acceptAll, at: MeshProtocol.aclPolicy, squash: true, in: network, now: now, random: random, to: &change)
    try next.writeDueHeads(now: now, to: &change)
    self = next
    return (NetworkReference(id: network, anchor: identity.did), change)
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
