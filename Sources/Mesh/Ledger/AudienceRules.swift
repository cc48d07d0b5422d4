import Cryptography
import DWN
import Identity
public import Wire

/// The keys of a network with encryption v1: every role that reads has an audience with a key pair, which is minted once, delivered to
/// each holder, and replaced when somebody is removed (`trust.md` section 9).
extension Ledger {
  /// The roles whose holders read a mesh. Their audiences stand at the network's own record.
  static let readingRoles = [MeshProtocol.member, MeshProtocol.node]

  /// A new key pair for every role.
  mutating func mintAudiences(
    in network: NetworkID, now: WallTime, random: any RandomSource, to change: inout LedgerChange
  ) throws(LedgerError) {
    let owned = try requireOwned(network)
    guard let definition = owned.records.definitions.last?.definition else { throw .noKey }
    for role in Self.readingRoles {
      guard let roleKey = definition.typeKeys[role],
        let name = AudienceName(protocolURI: MeshProtocol.uri, rolePath: role, contextID: network.contextID)
      else { throw .noKey }
      let draft: RecordDraft
      do throws(EnvelopeError) {
        draft = try AudienceRecord.mint(name, roleKey: roleKey, random: random).record.draft
      } catch {
        throw .mesh(.cannotEncrypt(path: EncryptionControl.audience, reason: error.description))
      }
      try write(draft, tenant: identity.did, network: network, now: now, to: &change)
    }
  }

  /// Hands a machine the keys of its role that it lacks, encrypted as its own definition says.
  mutating func deliverAudiences(
    to did: DID, as definition: MeshDefinition, in network: NetworkID, now: WallTime, random: any RandomSource,
    to change: inout LedgerChange
  ) throws(LedgerError) {
    let owned = try requireOwned(network)
    let role = MeshProtocol.node
    guard definition.envelope == .v1, let recipientKey = definition.typeKeys[role] else {
      throw .definitionMissing(did)
    }
    let roleKey = KeyTree(identity).typeKey(protocolURI: MeshProtocol.uri, path: role)
    for (_, audience) in owned.audiences(of: role) where owned.audienceDeliveries[did]?[audience.keyID] == nil {
      let draft: RecordDraft
      do throws(EnvelopeError) {
        draft = try DeliveryRecord(audience.name, key: audience.unseal(with: roleKey)).draft(
          to: did, key: recipientKey, random: random)
      } catch {
        throw .mesh(.cannotEncrypt(path: EncryptionControl.delivery, reason: error.description))
      }
      try write(draft, tenant: identity.did, network: network, now: now, to: &change)
    }
  }

  /// Ends the audiences that were replaced, once everybody who reads with one of them has been delivered the key that replaces it;
  /// what the anchor wrote for them is written anew. Until then the old ones stay: other programs write for the oldest.
  public mutating func retireAudiences(
    in network: NetworkID, now: WallTime, random: any RandomSource
  ) throws(LedgerError) -> LedgerChange {
    var change = LedgerChange()
    let before = try requireOwned(network)
    guard before.isReplacingAudiences, before.canRetireAudiences(at: now) else { return change }
    var next = self
    for role in Self.readingRoles {
      for (old, _) in before.audiences(of: role).dropLast() {
        try next.end(old.recordID, in: network, now: now, to: &change)
      }
    }
    let owned = try next.requireOwned(network)
    guard let cipher = owned.cipher else { throw .noKey }
    let old = owned.oldestFirst.filter { !cipher.isCurrent($0.write) }
    try next.writeAnew(old, in: network, now: now, random: random, to: &change)
    self = next
    return change
  }
}

extension OwnedNetwork {
  /// Whether audiences were minted that are to take the place of others.
  var isReplacingAudiences: Bool { audiences(of: MeshProtocol.node).count > 1 }

  /// Whether everybody who was delivered the key of a replaced audience has that of the newest.
  func canRetireAudiences(at now: WallTime) -> Bool {
    let audiences = audiences(of: MeshProtocol.node).map(\.record.keyID)
    guard let newest = audiences.last else { return false }
    return nodes.allSatisfy { node in
      let delivered = audienceDeliveries[node.did] ?? [:]
      return node.did == identity.did || node.record.hasExpired(at: now) || delivered[newest] != nil
        || !audiences.dropLast().contains { delivered[$0] != nil }
    }
  }
}
