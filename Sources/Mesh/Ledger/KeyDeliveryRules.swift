import DWN
public import Identity
public import Wire

extension Ledger {
  /// Delivers the keys to one member if it lacks those that are current; an empty change if it has them. Throws `notAMember` for a
  /// DID without a live, unexpired node record.
  ///
  /// With encryption v1 keys are encrypted as the member's own definition says: `definitions` holds it, or `definitionMissing` is
  /// thrown.
  public mutating func approve(
    _ did: DID, in network: NetworkID, definitions: [DID: MeshDefinition] = [:], now: WallTime,
    random: any RandomSource
  ) throws(LedgerError) -> LedgerChange {
    let owned = try requireOwned(network)
    guard let node = owned.nodes.first(where: { $0.did == did && !$0.record.hasExpired(at: now) }) else {
      throw .notAMember(did)
    }
    let lacking = lacking([node])
    if owned.envelope == .v1, !lacking.isEmpty, definitions[did] == nil { throw .definitionMissing(did) }
    return try deliver(to: lacking, definitions, in: network, now: now, random: random)
  }

  /// Delivers the current keys to every member that lacks them; with encryption v1, to those whose definitions are known.
  public mutating func deliverMissingKeys(
    in network: NetworkID, definitions: [DID: MeshDefinition] = [:], now: WallTime, random: any RandomSource
  ) throws(LedgerError) -> LedgerChange {
    try deliver(
      to: lackingKeys(in: network, now: now), definitions, in: network, now: now, random: random)
  }

  /// Members that wait for keys, oldest first.
  public func lackingKeys(in network: NetworkID, now: WallTime) -> [DID] {
    lacking((owned[network]?.nodes ?? []).filter { !$0.record.hasExpired(at: now) })
  }

  private func lacking(_ nodes: [LedgerNode]) -> [DID] {
    nodes.filter { $0.did != identity.did && $0.key != nil && !$0.hasKeys }.map(\.did)
  }

  private mutating func deliver(
    to dids: [DID], _ definitions: [DID: MeshDefinition], in network: NetworkID, now: WallTime,
    random: any RandomSource
  ) throws(LedgerError) -> LedgerChange {
    let owned = try requireOwned(network)
    var change = LedgerChange()
    var next = self
    for did in dids {
      switch owned.envelope {
      case .jwe: try next.deliver(to: did, in: network, now: now, random: random, to: &change)
      case .v1:
        guard let definition = definitions[did], definition.typeKeys[MeshProtocol.node] != nil else { continue }
        try next.deliverAudiences(to: did, as: definition, in: network, now: now, random: random, to: &change)
      }
    }
    if change.isEmpty { return change }
    try next.writeDueHeads(now: now, to: &change)
    self = next
    return change
  }

  /// One record for each recipient and network: the first delivery makes it, later ones update it. The head that follows has the
  /// `seq` that it names.
  mutating func deliver(
    to did: DID, epoch: KeyEpoch? = nil, in network: NetworkID, now: WallTime, random: any RandomSource,
    to change: inout LedgerChange
  ) throws(LedgerError) {
    let owned = try requireOwned(network)
    guard
      let keys = ContextKeyRecord(
        network: owned.reference, keyring: owned.keyring, epoch: epoch ?? owned.epoch, earlier: owned.epochs,
        seq: owned.nextSeq)
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
