import DWN
public import Identity
public import Wire

extension Ledger {
  /// An expiry that passes takes a machine out as a removal does, at most this often: until then nobody has it for a peer, and it reads
  /// on.
  static let expiryInterval: Duration = .seconds(3600)

  /// Takes a machine out of the network, and the keys away from it (`trust.md` section 7).
  ///
  /// With heads: deletes, what the anchor wrote long ago once more, a head of the old epoch so that nobody waits, the keys of a new epoch
  /// for the rest, and its head. With encryption v1: deletes and new audiences, whose keys are delivered as the others' definitions are
  /// known; `retireAudiences` then ends the old ones. Throws `notAMember`.
  public mutating func removeNode(
    _ did: DID, from network: NetworkID, now: WallTime, random: any RandomSource
  ) throws(LedgerError) -> LedgerChange {
    let owned = try requireOwned(network)
    guard did != identity.did, owned.nodes.contains(where: { $0.did == did }) else { throw .notAMember(did) }
    return try remove([did], from: network, now: now, random: random)
  }

  /// Takes the machines out whose time is over: all of them together, and not within an hour after the keys were replaced last. The
  /// change is empty when there is nothing to do.
  public mutating func removeExpired(
    from network: NetworkID, now: WallTime, random: any RandomSource
  ) throws(LedgerError) -> LedgerChange {
    let owned = try requireOwned(network)
    let expired = owned.nodes.filter { $0.did != identity.did && $0.record.hasExpired(at: now) }.map(\.did)
    let age = now - owned.newestKeys
    // Keys that are younger than now come from a clock that was set back: they are not waited for.
    guard !expired.isEmpty, age >= Self.expiryInterval || age <= .zero - Self.expiryInterval else {
      return LedgerChange()
    }
    return try remove(Set(expired), from: network, now: now, random: random)
  }

  private mutating func remove(
    _ dids: Set<DID>, from network: NetworkID, now: WallTime, random: any RandomSource
  ) throws(LedgerError) -> LedgerChange {
    let owned = try requireOwned(network)
    var next = self
    var change = LedgerChange()
    let records = owned.nodes.filter { dids.contains($0.did) }.map(\.recordID)
    let relays = owned.relays.filter { $0.record.nodeDID.map(dids.contains) ?? false }.map(\.write.recordID)
    let deliveries = dids.sorted().flatMap { did in
      [owned.deliveries[did]?.recordID].compactMap { $0 }
        + (owned.audienceDeliveries[did] ?? [:]).values.map(\.recordID).sorted()
    }
    for record in records + relays + deliveries { try next.end(record, in: network, now: now, to: &change) }
    switch owned.envelope {
    case .jwe:
      let seconds = KeyEpoch(now.microseconds / 1_000_000) ?? .first
      guard let following = KeyEpoch(owned.epoch.number + 1) else { throw .noKey }
      let epoch = max(following, seconds)
      try next.writeOldAnew(in: network, before: epoch, now: now, random: random, to: &change)
      try next.writeHead(of: network, now: now, to: &change)
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
