import DWN
import Identity
import Wire

/// What all rules of the ledger write with.
extension Ledger {
  /// Makes the networks again from the messages; of what is known beside them, the epochs stay.
  mutating func rebuild() throws(LedgerError) {
    let epochs = owned.mapValues(\.epochs)
    owned = [:]
    var definitions: [AuthoredMessage] = []
    for message in log.messages {
      if message.signed.message.kind == .protocolsConfigure { definitions.append(message) }
      try count(message, definitions)
    }
    for (network, known) in epochs { owned[network]?.recall(known) }
  }

  private mutating func count(_ message: AuthoredMessage, _ definitions: [AuthoredMessage]) throws(LedgerError) {
    guard let network = message.network else {
      for id in owned.keys { try owned[id]?.apply(message) }
      return
    }
    if owned[network] == nil, let write = message.write, write.path == MeshProtocol.network, write.isInitial {
      owned[network] = OwnedNetwork(write, identity: identity)
      for definition in definitions { try owned[network]?.apply(definition) }
    }
    try owned[network]?.apply(message)
  }

  func requireOwned(_ network: NetworkID) throws(LedgerError) -> OwnedNetwork {
    guard let owned = owned[network] else { throw .unknownNetwork(network) }
    if !foreign.isEmpty { throw .foreignWriter(foreignRecord) }
    return owned
  }

  var foreignRecord: RecordID? {
    foreign.first.flatMap { try? JSONValue(parsing: $0.json)["recordId"]?.string }.flatMap {
      $0.flatMap { RecordID($0) }
    }
  }

  /// Signs a record. `network` is `nil` for a new network's own record.
  @discardableResult
  mutating func write(
    _ draft: RecordDraft, tenant: DID, network: NetworkID?, above shown: WallTime? = nil, now: WallTime,
    to change: inout LedgerChange
  ) throws(LedgerError) -> RecordsWrite {
    let write = log.signer.recordsWrite(draft, at: log.stamp(now: now, above: shown))
    log.add(
      write.signed, write: write, data: draft.data, tenant: tenant, network: network ?? NetworkID(write.recordID),
      to: &change)
    try countLast()
    return write
  }

  mutating func end(_ record: RecordID, in network: NetworkID, now: WallTime, to change: inout LedgerChange)
    throws(LedgerError)
  {
    let signed = log.signer.recordsDelete(record, prune: true, at: log.stamp(now: now))
    log.add(signed, write: nil, data: nil, tenant: identity.did, network: network, to: &change)
    try countLast()
  }

  mutating func configure(_ definition: MeshDefinition, now: WallTime, to change: inout LedgerChange)
    throws(LedgerError)
  {
    let isThere = log.messages.last {
      $0.signed.message.descriptor["definition"]?["protocol"]?.string == definition.protocolURI
    }
    // A definition of equal content is not configured again (`trust.md` section 9).
    if isThere?.signed.message.descriptor["definition"] == definition.json { return }
    let signed = log.signer.protocolsConfigure(definition.json, at: log.stamp(now: now))
    log.add(signed, write: nil, data: nil, tenant: identity.did, network: nil, to: &change)
    try countLast()
  }

  private mutating func countLast() throws(LedgerError) {
    guard let message = log.messages.last else { return }
    try count(message, log.messages.filter { $0.signed.message.kind == .protocolsConfigure })
  }

  /// Encrypts and signs a record of an own network.
  @discardableResult
  mutating func write(
    _ payload: some MeshPayload, at path: ProtocolPath, recipient: DID? = nil, squash: Bool = false,
    in network: NetworkID,
    now: WallTime, random: any RandomSource, to change: inout LedgerChange
  ) throws(LedgerError) -> RecordsWrite {
    let owned = try requireOwned(network)
    do {
      guard let cipher = owned.cipher else { throw LedgerError.noKey }
      let sealed = try cipher.seal(try payload.encoded(), at: path, random: random)
      let draft = RecordDraft(
        protocolURI: MeshProtocol.uri, path: path, parent: network.contextID, schema: MeshProtocol.schema(of: path),
        recipient: recipient, squash: squash, encryption: sealed.encryption, data: sealed.data)
      return try write(draft, tenant: identity.did, network: network, now: now, to: &change)
    } catch let error as LedgerError {
      throw error
    } catch let error as MeshError {
      throw .mesh(error)
    } catch {
      throw .corrupt(reason: "\(error)")
    }
  }
}
