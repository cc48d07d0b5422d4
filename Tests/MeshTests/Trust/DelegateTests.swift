import Cryptography
import DWN
import Identity
import Mesh
import TestSupport
import Testing
import Wire

/// What somebody writes in the anchor's name, by a grant, in a network with encryption v1 (`trust.md` section 8).
@Suite("Delegates")
struct DelegateTests {
  /// A network with one member, and somebody to whom the anchor gave a grant.
  struct Delegation {
    var history: V1History
    let member: MachineIdentity
    let delegate: MachineIdentity

    init(seed: UInt64) throws {
      history = try V1History(seed: seed)
      member = try history.join()
      delegate = MachineIdentity.generate(random: history.random)
    }

    struct Grant {
      let write: RecordsWrite
      let data: [UInt8]

      var carried: JSONValue {
        var json = write.message.json
        json["encodedData"] = .string(Base64.encode(data))
        return .object(json)
      }
    }

    func grant(
      _ method: String = "Write", by grantor: MachineIdentity? = nil, path: ProtocolPath? = nil,
      expires: WallTime = WallTime(seconds: 1_900_000_000), isDelegated: Bool = true
    ) -> Grant {
      let scope = PermissionScope(.records, method, protocolURI: MeshProtocol.uri, path: path)
      let draft = RecordDraft(
        protocolURI: PermissionsProtocol.uri, path: PermissionsProtocol.grant, recipient: delegate.did,
        tags: ["protocol": .string(MeshProtocol.uri)],
        data: PermissionContent(scope, isDelegated: isDelegated, dateExpires: expires).json.encoded)
      return Grant(
        write: MessageSigner(grantor ?? history.anchor).recordsWrite(draft, at: WallTime(seconds: 1_789_000_000)),
        data: draft.data)
    }

    func revocation(of grant: Grant, at time: WallTime) -> ReplyEntry {
      let draft = RecordDraft(
        protocolURI: PermissionsProtocol.uri, path: PermissionsProtocol.revocation, parent: grant.write.contextID,
        tags: ["protocol": .string(MeshProtocol.uri)], data: JSONValue.object([:]).encoded)
      return ReplyEntry(
        message: MessageSigner(history.anchor).recordsWrite(draft, at: time).message.value, data: draft.data)
    }

    /// What the anchor would sign, signed by the delegate in its name.
    func delegated(_ signed: SignedMessage, data: [UInt8]?, by grant: Grant) throws -> ReplyEntry {
      var json = signed.message.json
      let signature = try GeneralJWS(json["authorization"]?["signature"] ?? .null)
      var payload = try JSONValue(parsing: signature.payloadBytes).object ?? [:]
      payload["delegatedGrantId"] = .string(grant.write.cid.text)
      json["authorization"] = [
        "signature": GeneralJWS.sign(JSONValue.object(payload).encoded, with: delegate).json,
        "authorDelegatedGrant": grant.carried,
      ]
      return ReplyEntry(message: .object(json), data: data)
    }

    /// A node record for somebody new, written by the delegate.
    func node(at time: WallTime? = nil, by grant: Grant) throws -> (entry: ReplyEntry, did: DID) {
      let machine = MachineIdentity.generate(random: history.random)
      let cipher = try #require(history.reader(of: history.anchor).cipher)
      let meshIP = try AddressPlan(NetworkRecord.defaultCIDR).ipv4(for: machine.did)
      let record = NodeRecord(meshIP: meshIP, addedAt: history.wall, label: "new")
      let sealed = try cipher.seal(try record.encoded(), at: MeshProtocol.node, random: history.random)
      let draft = RecordDraft(
        protocolURI: MeshProtocol.uri, path: MeshProtocol.node, parent: history.id.contextID,
        schema: MeshProtocol.schema(of: MeshProtocol.node), recipient: machine.did, encryption: sealed.encryption,
        data: sealed.data)
      let write = MessageSigner(history.anchor).recordsWrite(draft, at: time ?? history.wall)
      return (try delegated(write.signed, data: draft.data, by: grant), machine.did)
    }

    func offer(_ entries: [ReplyEntry], to reader: inout MeshReader) -> OfferOutcome {
      reader.offer(entries, at: Instant(nanoseconds: 5), wall: history.wall)
    }
  }

  @Test("what a delegate writes counts as the anchor's, if its grant covers it")
  func covered() throws {
    let world = try Delegation(seed: 40)
    var reader = world.history.reader(of: world.member)
    for grant in [world.grant(), world.grant(path: MeshProtocol.node)] {
      let (entry, did) = try world.node(by: grant)
      #expect(world.offer([entry], to: &reader).refusals.isEmpty)
      #expect(reader.view(at: world.history.wall)?.nodes.contains { $0.did == did } == true)
      #expect(reader.grants.contains(grant.write.recordID))
    }
  }

  @Test("a grant of somebody else, for something else, that has expired or does not delegate lets nobody write")
  func uncovered() throws {
    let world = try Delegation(seed: 41)
    let stranger = MachineIdentity.generate(random: world.history.random)
    for grant in [
      world.grant(by: stranger), world.grant("Read"), world.grant(path: MeshProtocol.relay),
      world.grant(expires: WallTime(seconds: 1_789_500_000)), world.grant(isDelegated: false),
    ] {
      var reader = world.history.reader(of: world.member)
      let before = reader.view(at: world.history.wall)
      let outcome = world.offer([try world.node(by: grant).entry], to: &reader)
      #expect(outcome.refusals.count == 1)
      #expect(reader.view(at: world.history.wall) == before)
    }
  }

  @Test("a grant whose data was exchanged is worth nothing: its id does not cover them")
  func exchanged() throws {
    let world = try Delegation(seed: 42)
    let small = world.grant(path: MeshProtocol.relay)
    let wide = Delegation.Grant(write: small.write, data: world.grant().data)
    var reader = world.history.reader(of: world.member)
    let outcome = world.offer([try world.node(by: wide).entry], to: &reader)
    #expect(outcome.refusals.count == 1)
  }

  @Test("what is stamped after a revocation that was seen is refused, also after a restart; what was before it stays")
  func revoked() throws {
    let world = try Delegation(seed: 43)
    let grant = world.grant()
    var stored = StoredMesh()
    var reader = MeshReader(network: world.history.network, identity: world.member)
    stored.apply(
      reader.offer(
        world.history.shownNow(), extent: .complete, at: Instant(nanoseconds: 1), wall: world.history.wall
      ).store)
    let (early, did) = try world.node(at: world.history.wall + .seconds(1), by: grant)
    stored.apply(world.offer([early], to: &reader).store)
    stored.apply(
      world.offer([world.revocation(of: grant, at: world.history.wall + .seconds(5))], to: &reader).store)
    let (late, _) = try world.node(at: world.history.wall + .seconds(9), by: grant)
    #expect(world.offer([late], to: &reader).refusals.map(\.reason) == [.grantRevoked])
    var again = MeshReader(
      network: world.history.network, identity: world.member, stored: try #require(stored.networks[world.history.id]))
    #expect(world.offer([late], to: &again).refusals.map(\.reason) == [.grantRevoked])
    #expect(again.view(at: world.history.wall)?.nodes.contains { $0.did == did } == true)
  }

  @Test("a delegate ends a record if its grant covers deletes there, and not otherwise")
  func deletes() throws {
    let world = try Delegation(seed: 44)
    let node = try #require(world.history.ledger.nodes(of: world.history.id).last)
    let delete = MessageSigner(world.history.anchor).recordsDelete(
      node.recordID, prune: true, at: world.history.wall)
    var reader = world.history.reader(of: world.history.anchor)
    let wrong = try world.delegated(delete, data: nil, by: world.grant("Delete", path: MeshProtocol.relay))
    #expect(world.offer([wrong], to: &reader).refusals.count == 1)
    let unfit = try world.delegated(delete, data: nil, by: world.grant("Write"))
    #expect(world.offer([unfit], to: &reader).refusals.count == 1)
    #expect(reader.view(at: world.history.wall)?.nodes.count == 2)
    let right = try world.delegated(delete, data: nil, by: world.grant("Delete"))
    #expect(world.offer([right], to: &reader).refusals.isEmpty)
    #expect(reader.view(at: world.history.wall)?.nodes.count == 1)
  }

  @Test("networks with the JWE envelope take nothing from a delegate")
  func jwe() throws {
    let world = try Delegation(seed: 45)
    var history = try LedgerHistory(seed: 45)
    let machine = try history.addNode()
    var reader = try #require(history.readers[machine.did])
    let delete = MessageSigner(history.anchor).recordsDelete(
      try #require(history.ledger.nodes(of: history.id).last?.recordID), prune: true, at: history.wall)
    let grant = world.grant("Delete", by: history.anchor)
    let outcome = reader.offer(
      [try world.delegated(delete, data: nil, by: grant)], at: Instant(nanoseconds: 5), wall: history.wall)
    #expect(outcome.refusals.count == 1 && !outcome.changed)
  }
}
