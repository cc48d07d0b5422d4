public import DWN
import Cryptography
import Identity
public import Wire

extension MeshReader {
  /// The network as its accepted state shows it, without what deletes and expiry took away since. `nil` while no state was
  /// accepted.
  public func view(at wall: WallTime) -> MeshView? {
    guard let live = acceptedRecords else { return nil }
    var builder = ViewBuilder(reader: self, wall: wall)
    for held in live.sorted(by: Self.isOlder) where !records.isEnded(held.write.contextID) { builder.add(held) }
    return builder.view(acceptedHead)
  }

  /// What the head in force covers; in a network without heads, the newest of every slot. `nil` while there is nothing to believe.
  private var acceptedRecords: [HeldRecords.Held]? {
    if !network.envelope.hasHeads { return acceptedAt.map { _ in records.live(at: WallTime(microseconds: .max)) } }
    return (records.accepted?.set).map { set in
      records.slots.values.compactMap { versions in
        versions.last { set.elements.contains($0.write.signed.element) }
      }
    }
  }

  /// Of two that claim one thing the older is used (`trust.md` section 2, end).
  private static func isOlder(_ a: HeldRecords.Held, _ b: HeldRecords.Held) -> Bool {
    (a.write.dateCreated, a.write.recordID) < (b.write.dateCreated, b.write.recordID)
  }

  /// How this device stands to the network.
  public func membership(at wall: WallTime) -> Membership {
    let ownNodes = ownNodeWrites
    guard let view = view(at: wall) else {
      if !network.envelope.hasHeads { return .waitingForRecords }
      if let head = heads.pending.last, !keys.haveKey(of: head.record.epoch) { return .waitingForKey }
      return .waitingForHead
    }
    if view.own != nil { return .member }
    if ownNodes.contains(where: { !records.isEnded($0.write.contextID) && isExpired($0, at: wall) }) { return .expired }
    if ownNodes.contains(where: { !records.isEnded($0.write.contextID) && lacksKey($0) }) { return .waitingForKey }
    // Keys are handed to members only: whoever holds one and has no node record any more was one.
    return ownRecordEnded || keys.wereDelivered ? .removed : .notAMember
  }

  private func lacksKey(_ held: HeldRecords.Held) -> Bool {
    guard case .unusable(.unreadable(_, .envelope(.missingAudienceKey))) = opened.peek(held) else { return false }
    return true
  }

  private var ownNodeWrites: [HeldRecords.Held] {
    records.slots.values.compactMap(\.last).filter {
      MeshProtocol.nodePaths.contains($0.write.path) && $0.write.recipient == identity.did
    }
  }

  private func isExpired(_ held: HeldRecords.Held, at wall: WallTime) -> Bool {
    if case .node(let node, _) = opened.peek(held) { node.hasExpired(at: wall) } else { false }
  }

  /// This device's node records in the accepted state were ended by deletes that were seen.
  private var ownRecordEnded: Bool {
    let own = ownNodeWrites
    return !own.isEmpty && own.allSatisfy { records.isEnded($0.write.contextID) }
  }

  /// This device's node records that are held, to be read by id when role reads are refused (`trust.md` section 4).
  public var ownNodeRecords: [RecordID] { ownNodeWrites.map(\.write.recordID).sorted() }

  /// What was refused since the reader was made.
  public var refusals: [Refusal] { log.refusals }

  /// The epoch whose key this device must hold before it writes anything encrypted: the highest of any verified head.
  public var epoch: KeyEpoch? { heads.highestEpoch }

  /// Encrypts what this device writes: with the newest keys and the anchor's type keys. `nil` while there is no accepted state, or a
  /// key that it takes has not arrived (`trust.md` section 6).
  public var cipher: (any RecordCipher)? {
    guard acceptedAt != nil else { return nil }
    let definition = heads.accepted.map { records.definition(at: $0.stamp) } ?? records.definitions.last
    guard let definition else { return nil }
    return keys.sealing(epoch: heads.highestEpoch, definition: definition.definition, records: records)
  }

  /// Whether this device's newest record at a path below its node can be read by everybody who may: if not, it is to be written
  /// anew.
  public func isCurrent(_ path: ProtocolPath, below node: ContextID) -> Bool {
    guard let held = records.newest(.place(path, node)), let cipher else { return true }
    return cipher.isCurrent(held.write)
  }
}

/// Puts a view together from live records in order of age: who comes first keeps key, address, name and id.
private struct ViewBuilder {
  let reader: MeshReader
  let wall: WallTime
  private var record: NetworkRecord?
  private var nodes: [MeshView.Node] = []
  private var members: [DID: MemberRecord] = [:]
  private var policy = MeshView.Policy.missing
  private var relays = RelayRegister()
  private var unused: [MeshView.Unused] = []
  private var keys: Set<X25519PublicKey> = []
  private var addresses: Set<IPAddress> = []
  private var nextExpiry: WallTime?

  init(reader: MeshReader, wall: WallTime) {
    self.reader = reader
    self.wall = wall
  }

  mutating func add(_ held: HeldRecords.Held) {
    switch reader.opened.peek(held) {
    case .network(let network): record = network
    case .member(let member):
      if let did = held.write.recipient, members[did] == nil { members[did] = member }
    case .node(let node, let key): add(node, key, held.write)
    case .relay(let claim):
      do { try relays.add(claim) } catch { skip(held.write, error.description) }
    case .policy(let acl): policy = .accepted(acl)
    case .unusable(let error):
      skip(held.write, error.description)
      if held.write.path == MeshProtocol.aclPolicy { policy = .unusable(error.description) }
    case .nodeInfo, .endpoint: break
    }
  }

  private mutating func add(_ node: NodeRecord, _ key: X25519PublicKey?, _ write: RecordsWrite) {
    if node.hasExpired(at: wall) { return skip(write, "it has expired") }
    guard let did = write.recipient, let key else {
      return skip(write, "no WireGuard key follows from its recipient's DID, or one of small order")
    }
    guard !keys.contains(key) else { return skip(write, "an older node has its WireGuard key") }
    guard !addresses.contains(node.meshIP) else { return skip(write, "an older node has its address \(node.meshIP)") }
    keys.insert(key)
    addresses.insert(node.meshIP)
    if let expiry = node.expiresAt { nextExpiry = min(expiry, nextExpiry ?? expiry) }
    var result = MeshView.Node(
      did: did, key: key, name: "", recordID: write.recordID, contextID: write.contextID, path: write.path,
      record: node,
      newestStamp: write.timestamp)
    if let path = MeshProtocol.nodeInfo(under: write.path), let held = child(path, write.contextID) {
      if case .nodeInfo(let info) = reader.opened.peek(held) { result.info = info }
      result.newestStamp = max(result.newestStamp, held.write.timestamp)
    }
    if let path = MeshProtocol.endpoint(under: write.path), let held = child(path, write.contextID) {
      if case .endpoint(let endpoint) = reader.opened.peek(held) {
        result.endpoint = endpoint
        result.endpointStamp = held.write.timestamp
      }
      result.newestStamp = max(result.newestStamp, held.write.timestamp)
    }
    nodes.append(result)
  }

  private func child(_ path: ProtocolPath, _ parent: ContextID) -> HeldRecords.Held? {
    guard let held = reader.records.slots[.place(path, parent)]?.last, !reader.records.isEnded(held.write.contextID)
    else {
      return nil
    }
    return held
  }

  private mutating func skip(_ write: RecordsWrite, _ reason: String) {
    unused.append(MeshView.Unused(recordID: write.recordID, path: write.path, reason: reason))
  }

  /// Labels first, since they are the anchor's word; a hostname only where it takes nothing from anybody.
  private mutating func giveNames() {
    var taken: Set<String> = []
    for index in nodes.indices {
      if let label = nodes[index].record.label, taken.insert(label.lowercased()).inserted { nodes[index].name = label }
    }
    for index in nodes.indices where nodes[index].name.isEmpty && nodes[index].record.label == nil {
      if let host = nodes[index].info?.hostname, taken.insert(host.lowercased()).inserted { nodes[index].name = host }
    }
    for index in nodes.indices where nodes[index].name.isEmpty {
      var name = "node-" + nodes[index].meshIP.description.replacing(".", with: "-")
      while !taken.insert(name).inserted { name += "-" }
      nodes[index].name = name
    }
  }

  mutating func view(_ head: MeshView.Head?) -> MeshView {
    giveNames()
    return MeshView(
      network: reader.network, head: head, record: record, nodes: nodes.sorted { $0.key < $1.key }, members: members,
      policy: policy, relays: relays.relays, unused: unused, did: reader.identity.did,
      nextExpiry: nextExpiry)
  }
}
