import DWN
public import Identity
public import Wire

extension Ledger {
  /// Delivers the keys to one member if it lacks those of the current epoch; an empty change if it has them. Throws `notAMember`
  /// for a DID without a live, unexpired node record.
  public mutating func approve(
    _ did: DID, in network: NetworkID, now: WallTime, random: any RandomSource
  ) throws(LedgerError) -> LedgerChange {
    let owned = try requireOwned(network)
    guard let node = owned.nodes.first(where: { $0.did == did && !$0.record.hasExpired(at: now) }) else {
      throw .notAMember(did)
    }
    return try deliver(to: lacking([node], owned), in: network, now: now, random: random)
  }

  /// Delivers the keys of the current epoch to every member that lacks them.
  public mutating func deliverMissingKeys(
    in network: NetworkID, now: WallTime, random: any RandomSource
  ) throws(LedgerError) -> LedgerChange {
    let owned = try requireOwned(network)
    return try deliver(
      to: lacking(owned.nodes.filter { !$0.record.hasExpired(at: now) }, owned), in: network, now: now, random: random)
  }

  private func lacking(_ nodes: [LedgerNode], _ owned: OwnedNetwork) -> [DID] {
    nodes.filter { $0.did != identity.did && $0.key != nil && $0.deliveredEpoch != owned.epoch }.map(\.did)
  }

  private mutating func deliver(
    to dids: [DID], in network: NetworkID, now: WallTime, random: any RandomSource
  ) throws(LedgerError) -> LedgerChange {
    var change = LedgerChange()
    if dids.isEmpty { return change }
    var next = self
    for did in dids { try next.deliver(to: did, in: network, now: now, random: random, to: &change) }
    try next.writeDueHeads(now: now, to: &change)
    self = next
    return change
  }

  /// One record for each recipient and network: the first delivery makes it, later ones update it. The head that follows has the
  /// `seq` that it names.
  mutating func deliver(
    to did: DID, in network: NetworkID, now: WallTime, random: any RandomSource, to change: inout LedgerChange
  ) throws(LedgerError) {
    let owned = try requireOwned(network)
    guard
      let keys = ContextKeyRecord(
        network: owned.reference, keyring: owned.keyring, epoch: owned.epoch, earlier: owned.epochs, seq: owned.nextSeq)
    else { throw .noKey }
    let earlier = owned.deliveries[did]
    let draft: RecordDraft
    do throws(MeshError) {
      draft = try KeyDelivery.draft(keys, to: did, updating: earlier, random: random)
    } catch {
      throw .mesh(error)
    }
    try write(draft, tenant: identity.did, network: network, now: now, to: &change)
    if let earlier, !earlier.isInitial { log.reduce([earlier.signed.element], in: &change) }
  }
}
