import DWN
public import Identity
public import Wire

/// What a machine is admitted with.
public struct NodeAdmission: Hashable, Sendable {
  public var did: DID
  /// Its name, given by the anchor.
  public var label: String?
  /// Who owns it, if not itself.
  public var owner: DID?
  public var expiresAt: WallTime?

  public init(did: DID, label: String? = nil, owner: DID? = nil, expiresAt: WallTime? = nil) {
    self.did = did
    self.label = label
    self.owner = owner
    self.expiresAt = expiresAt
  }
}

/// What came of an admission.
public enum AdmissionResult: Sendable {
  case added(LedgerNode, LedgerChange)
  /// Nothing was changed.
  case alreadyMember(LedgerNode)
}

extension Ledger {
  /// Makes a machine a member: its node record with an address that nobody ever had, the network's keys, and a head. With encryption
  /// v1 there is no head, and keys are delivered when the machine's own definition is known (`deliverMissingKeys`).
  ///
  /// Throws `unusableDID` for a DID without a WireGuard key or with one of small order, and `keyTaken` when a live node has the
  /// same key under another DID.
  public mutating func addNode(
    _ admission: NodeAdmission, to network: NetworkID, now: WallTime, random: any RandomSource
  ) throws(LedgerError) -> AdmissionResult {
    let owned = try requireOwned(network)
    guard let key = admission.did.wireGuardKey else { throw .unusableDID(admission.did) }
    for node in owned.nodes {
      if node.did == admission.did { return .alreadyMember(node) }
      if node.key == key { throw .keyTaken(admission.did, by: node.did) }
    }
    guard let block = owned.record?.meshCIDR else { throw .corrupt(reason: "the network's record does not parse") }
    let meshIP: IPAddress
    do throws(MeshError) {
      meshIP = try AddressPlan(block).allocate(for: admission.did, taken: owned.addresses)
    } catch {
      throw .mesh(error)
    }
    let owner = admission.owner == admission.did ? nil : admission.owner
    let record = NodeRecord(
      meshIP: meshIP, addedAt: now, label: admission.label, ownerDID: owner, memberDID: owner,
      expiresAt: admission.expiresAt)
    var next = self
    var change = LedgerChange()
    let write = try next.write(
      record, at: MeshProtocol.node, recipient: admission.did, in: network, now: now, random: random, to: &change)
    if owned.envelope == .jwe {
      // A ledger may hold what was written more epochs ago than a delivery has keys of.
      try next.writeOldAnew(in: network, now: now, random: random, to: &change)
      try next.deliver(to: admission.did, in: network, now: now, random: random, to: &change)
    }
    try next.writeDueHeads(now: now, to: &change)
    self = next
    let node = nodes(of: network).first { $0.recordID == write.recordID }
    return .added(
      node
        ?? LedgerNode(
          did: admission.did, key: key, recordID: write.recordID, contextID: write.contextID, record: record,
          hasKeys: owned.envelope == .jwe), change)
  }
}
