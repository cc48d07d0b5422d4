import DWN
public import Identity
public import Wire

extension Ledger {
  /// Takes a machine out of the network, and the keys away from it (`trust.md` section 7).
  ///
  /// With heads: deletes, a head of the old epoch so that nobody waits, the keys of a new epoch for the rest, and its head. With
  /// encryption v1: deletes and new audiences, whose keys are delivered as the others' definitions are known; `retireAudiences` then
  /// ends the old ones. Throws `notAMember`.
  public mutating func removeNode(
    _ did: DID, from network: NetworkID, now: WallTime, random: any RandomSource
  ) throws(LedgerError) -> LedgerChange {
    let owned = try requireOwned(network)
    let records = owned.nodes.filter { $0.did == did }.map(\.recordID)
    guard !records.isEmpty, did != identity.did else { throw .notAMember(did) }
    var next = self
    var change = LedgerChange()
    let deliveries =
      [owned.deliveries[did]?.recordID].compactMap { $0 }
      + (owned.audienceDeliveries[did] ?? [:]).values.map(\.recordID).sorted()
    let relays = owned.relays.filter { $0.record.nodeDID == did }.map(\.write.recordID)
    for record in records + relays + deliveries { try next.end(record, in: network, now: now, to: &change) }
    switch owned.envelope {
    case .jwe:
      try next.writeHead(of: network, now: now, to: &change)
      let seconds = KeyEpoch(now.microseconds / 1_000_000) ?? .first
      guard let following = KeyEpoch(owned.epoch.number + 1) else { throw .noKey }
      let epoch = max(following, seconds)
      for node in try next.requireOwned(network).nodes
      where node.did != identity.did && node.key != nil && !node.record.hasExpired(at: now) {
        try next.deliver(to: node.did, epoch: epoch, in: network, now: now, random: random, to: &change)
      }
      try next.writeHead(of: network, epoch: epoch, now: now, to: &change)
    case .v1: try next.mintAudiences(in: network, now: now, random: random, to: &change)
    }
    self = next
    return change
  }
}
