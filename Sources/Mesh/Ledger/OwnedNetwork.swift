import DWN
import Identity
import Wire

/// What the messages of a ledger add up to for one of its own networks. It can be made again from them at any time.
struct OwnedNetwork: Sendable {
  let id: NetworkID
  let identity: MachineIdentity
  let created: WallTime
  let envelope: Envelope
  private(set) var records = HeldRecords()
  private(set) var head: (record: HeadRecord, stamp: WallTime)?
  /// The newest delivery to each recipient that was not ended.
  private(set) var deliveries: [DID: RecordsWrite] = [:]
  private(set) var newestDelivery: WallTime?
  /// Every address that a machine of this network ever had: none is given out again.
  private(set) var addresses: Set<IPAddress> = []
  /// Every id that a relay of this network ever had: none is given out again.
  private(set) var relayIDs: Set<UInt16> = []
  /// Every epoch that something of this network is, or was, encrypted in.
  private(set) var epochs: Set<KeyEpoch> = [.first]
  /// The element of the last head of each epoch. Those of the newest epochs are kept complete: so a ledger that is read again knows them.
  private var lastHeads: [KeyEpoch: String] = [:]
  let keyring: NetworkKeyring
  /// With encryption v1: the deliveries to each recipient that were not ended, by the id of the key.
  private(set) var audienceDeliveries: [DID: [String: RecordsWrite]] = [:]
  private var opened: OpenedRecords

  var reference: NetworkReference { NetworkReference(id: id, anchor: identity.did, envelope: envelope) }
  var epoch: KeyEpoch { head?.record.epoch ?? .first }
  var nextSeq: Int64 { (head?.record.seq ?? 0) + 1 }

  init(_ write: RecordsWrite, identity: MachineIdentity) {
    self.id = NetworkID(write.recordID)
    self.identity = identity
    self.created = write.dateCreated
    self.envelope = Envelope(committedIn: write.tags) ?? .jwe
    self.keyring = NetworkKeyring(network: id, anchor: identity)
    let reference = NetworkReference(id: id, anchor: identity.did, envelope: envelope)
    self.opened = OpenedRecords(reference.keyIntake(identity).opening)
  }

  /// Takes one more message of this network, or a definition, into account.
  mutating func apply(_ message: AuthoredMessage) throws(LedgerError) {
    do {
      switch message.signed.message.kind {
      case .recordsWrite: try applyWrite(message)
      case .recordsDelete:
        guard let record = message.endedRecord else { return }
        _ = records.end(record, at: message.stamp)
        deliveries = deliveries.filter { $0.value.recordID != record }
        audienceDeliveries = audienceDeliveries.mapValues { $0.filter { $0.value.recordID != record } }
      case .protocolsConfigure:
        guard let definition = try? MeshDefinition(message.signed), definition.protocolURI == MeshProtocol.uri else {
          return
        }
        _ = try records.insert(message.signed, definition)
      default: return
      }
    } catch let rejection as Rejection {
      throw .corrupt(reason: rejection.reason.description)
    } catch let error as MeshError {
      throw .mesh(error)
    } catch {
      throw .corrupt(reason: "\(error)")
    }
  }

  private mutating func applyWrite(_ message: AuthoredMessage) throws {
    guard let write = message.write, let data = message.data else { return }
    if message.isDelivery {
      guard let recipient = write.recipient else { return }
      if let (_, keyID) = EncryptionControl.audience(of: write) {
        audienceDeliveries[recipient, default: [:]][keyID] = write
        return
      }
      deliveries[recipient] = write
      newestDelivery = max(write.timestamp, newestDelivery ?? write.timestamp)
      if let epoch = KeyEpoch(write.tags?[KeyDeliveryProtocol.Tag.epoch]) { epochs.insert(epoch) }
    } else if message.isHead {
      let record = try HeadRecord(parsing: data)
      head = (record, write.timestamp)
      epochs.insert(record.epoch)
      lastHeads[record.epoch] = message.element
    } else {
      guard let initial = write.isInitial ? write : records.initials[write.recordID] else {
        throw LedgerError.corrupt(reason: "an update has no initial write")
      }
      // A record that was ended later is replayed, when the ledger is read, before its delete.
      _ = try records.insert(write, data: data, initial: initial)
      if envelope == .jwe, let epoch = JWERecordCipher.epoch(of: write) { epochs.insert(epoch) }
      switch opened.payload(HeldRecords.Held(write: write, data: data)) {
      case .node(let node, _): addresses.insert(node.meshIP)
      case .relay(.numbered(let relay)): relayIDs.insert(relay.id)
      default: break
      }
    }
  }

  /// The last heads of as many epochs as a delivery has keys of.
  var headsOfEpochs: Set<String> {
    Set(lastHeads.sorted { $0.key > $1.key }.prefix(1 + ContextKeyRecord.maximumEarlier).map(\.value))
  }

  /// Takes note of epochs that are known from elsewhere.
  mutating func recall(_ known: Set<KeyEpoch>) { epochs.formUnion(known) }

  /// Finds epochs by what members wrote, also those of which the ledger has neither head nor delivery any more.
  ///
  /// What opens with the key of an epoch was encrypted by somebody to whom that was delivered. Other numbers count for nothing.
  mutating func recall(from stored: [StoredMessage]) {
    guard envelope == .jwe else { return }
    let cipher = reference.keyIntake(identity).opening
    for message in stored {
      guard let data = message.data,
        let json = try? JSONValue(parsing: message.json, depth: Message.maximumDepth, limit: Message.maximumSize),
        let number = json["encryption"].flatMap({ try? JWEEnvelope($0) })?.networkEntry?.scheme.epoch,
        number < epoch, !epochs.contains(number),
        let signed = try? SignedMessage(checking: Message(json), resolver: OfflineResolver()),
        let write = try? RecordsWrite(signed), (try? cipher.open(write, data: data)) != nil
      else { continue }
      epochs.insert(number)
    }
  }

  private var live: [HeldRecords.Held] { records.live(at: WallTime(microseconds: .max)) }

  /// What a head signed now covers.
  var liveSet: LiveSet { records.liveSet(at: WallTime(microseconds: .max)) }

  var record: NetworkRecord? {
    guard let held = records.newest(.record(id.recordID)), case .network(let record) = opened.peek(held) else {
      return nil
    }
    return record
  }

  /// Live node records, oldest first.
  var nodes: [LedgerNode] {
    let newest = audiences(of: MeshProtocol.node).map(\.record)
    return oldestFirst.compactMap { held in
      guard let did = held.write.recipient, case .node(let node, let key) = opened.peek(held) else { return nil }
      return LedgerNode(
        did: did, key: key, recordID: held.write.recordID, contextID: held.write.contextID, record: node,
        hasKeys: hasKeys(did, newest: newest))
    }
  }

  /// What the anchor wrote last in every place, its machine's own nodeInfo and endpoint too, without what was ended; oldest first.
  var newestWrites: [HeldRecords.Held] {
    Self.oldestFirst(records.slots.values.compactMap(\.last).filter { !records.isEnded($0.write.contextID) })
  }

  /// Live records of those that a head covers.
  var oldestFirst: [HeldRecords.Held] { Self.oldestFirst(live) }

  private static func oldestFirst(_ held: [HeldRecords.Held]) -> [HeldRecords.Held] {
    held.sorted { ($0.write.dateCreated, $0.write.recordID) < ($1.write.dateCreated, $1.write.recordID) }
  }

  /// Live relays by id.
  var relays: [(write: RecordsWrite, record: RelayRecord)] { registered.relays.sorted { $0.record.id < $1.record.id } }

  /// The id of the next relay; `nil` when all were given.
  var nextRelayID: UInt16? {
    let newest = max(relayIDs.max() ?? 0, registered.places)
    return newest < .max ? newest + 1 : (1...UInt16.max).first { !relayIDs.contains($0) }
  }

  private var registered: (relays: [(write: RecordsWrite, record: RelayRecord)], places: UInt16) {
    var register = RelayRegister()
    var relays: [(write: RecordsWrite, record: RelayRecord)] = []
    for held in oldestFirst {
      guard case .relay(let claim) = opened.peek(held), let record = try? register.add(claim) else { continue }
      relays.append((held.write, record))
    }
    return (relays, register.places)
  }

  /// With encryption v1 a member needs the key of every live audience of its role.
  private func hasKeys(_ did: DID, newest: [AudienceRecord]) -> Bool {
    switch envelope {
    case .jwe: deliveries[did].flatMap { KeyEpoch($0.tags?[KeyDeliveryProtocol.Tag.epoch]) } == epoch
    case .v1: newest.allSatisfy { audienceDeliveries[did]?[$0.keyID] != nil }
    }
  }

  /// The live audiences of one role, the current one first. There is more than one while a new one is on its way to the members.
  func audiences(of role: ProtocolPath) -> [(write: RecordsWrite, record: AudienceRecord)] {
    envelope == .v1 ? records.audiences(in: reference)[role] ?? [] : []
  }

  /// When the keys that members read with were replaced last.
  var newestKeys: WallTime {
    switch envelope {
    case .jwe: WallTime(seconds: epoch.number)
    case .v1: audiences(of: MeshProtocol.node).map(\.write.dateCreated).max() ?? created
    }
  }

  /// Whether the newest head says something else than what is live now, or follows no delivery that it had to follow.
  var owesHead: Bool {
    if !envelope.hasHeads { return false }
    guard let head else { return true }
    if let newestDelivery, newestDelivery > head.stamp { return true }
    return liveSet.hash != head.record.records
  }

  /// Encrypts what the anchor writes. `nil` before its definition is there.
  var cipher: (any RecordCipher)? {
    guard let definition = records.definitions.last?.definition else { return nil }
    switch envelope {
    case .jwe:
      return JWERecordCipher(
        network: reference, identity: identity, keyring: keyring, epoch: epoch, definition: definition)
    case .v1:
      return reference.keyIntake(identity).sealing(epoch: nil, definition: definition, records: records)
    }
  }
}
