import Cryptography
import DWN
import Identity
import Mesh
import TestSupport
import Testing
import Wire

@Suite("Networks with encryption v1")
struct V1NetworkTests {
  private func paths(_ messages: [ReplyEntry]) -> [String] {
    messages.map { entry in
      let descriptor = entry.message["descriptor"]
      return descriptor?["protocolPath"]?.string ?? descriptor?["definition"]?["protocol"]?.string
        ?? descriptor?["method"]?.string ?? "?"
    }
  }

  // MARK: Beginning

  @Test("one begins with definition, network, the keys of both roles, own node and a policy, and has no head")
  func beginning() throws {
    let history = try V1History(seed: 1)
    #expect(
      paths(history.messages) == [
        MeshProtocol.uri, "network", "$encryption/audience", "$encryption/audience", "network/node",
        "network/aclPolicy",
      ])
    #expect(history.network.envelope == .v1)
    #expect(history.ledger.networks == [history.network])
    #expect(history.ledger.headDue == nil && !history.ledger.owesHead(for: history.id))
    let view = try #require(history.reader(of: history.anchor).view(at: history.wall))
    #expect(view.head == nil)
    #expect(view.own?.name == "first")
    #expect(view.policy == .accepted(.acceptAll))
    let root = try #require(history.messages.first { $0.message["contextId"]?.string == history.id.text })
    #expect(root.message["descriptor"]?["tags"] == nil)
  }

  @Test(
    "the definition is the one that other programs install",
    .enabled(if: Fixtures.have("mesh/key-derivation-v1.json"), Comment(rawValue: Fixtures.skipped)))
  func definition() throws {
    let json = try Fixtures.json("mesh/key-derivation-v1.json")
    let seed = SHA2.sha256(Array("meshd-fixture:anchor".utf8))
    let anchor = try #require(MachineIdentity(seed: SecretBytes(seed)))
    let built = MeshDefinition.mesh(of: anchor, envelope: .v1)
    #expect(CID(of: built.json) == CID(of: try #require(json["installedDefinition"])))
    #expect(built.envelope == .v1)
    #expect(built.typeKeys[MeshProtocol.head] == nil)
    #expect(built.readingRoles[MeshProtocol.endpoint] == [MeshProtocol.member, MeshProtocol.node])
    #expect(built.readingRoles[MeshProtocol.preAuthKey] == [])
    let configure = MessageSigner(anchor).protocolsConfigure(built.json, at: WallTime(seconds: 1_790_000_000))
    #expect(try MeshDefinition(configure) == built)
  }

  @Test("an identity's networks have one envelope: another is refused, and nothing is signed")
  func oneEnvelope() throws {
    var v1 = try V1History(seed: 2)
    let record = NetworkRecord(name: "other")
    #expect(throws: LedgerError.otherEnvelope(.v1)) {
      try v1.ledger.createNetwork(NetworkPlan(record: record), now: v1.wall, random: v1.random)
    }
    #expect(throws: LedgerError.otherEnvelope(.v1)) { try v1.ledger.install(.jwe, now: v1.wall) }
    var jwe = try LedgerHistory(seed: 2)
    #expect(throws: LedgerError.otherEnvelope(.jwe)) { try jwe.ledger.install(.v1, now: jwe.wall) }
    let second = try v1.ledger.createNetwork(
      NetworkPlan(record: record, envelope: .v1), now: v1.wall, random: v1.random)
    #expect(
      paths(second.change.entries) == [
        "network", "$encryption/audience", "$encryption/audience", "network/node", "network/aclPolicy",
      ])
  }

  // MARK: Joining

  @Test("a machine that is added waits for its key, and sees the network once it was delivered")
  func joining() throws {
    var history = try V1History(seed: 3)
    let machine = MachineIdentity.generate(random: history.random)
    guard
      case .added(_, let change) = try history.ledger.addNode(
        NodeAdmission(did: machine.did, label: "laptop"), to: history.id, now: history.wall, random: history.random)
    else { throw V1History.Unexpected() }
    history.take(change)
    #expect(paths(change.entries) == ["network/node"])
    #expect(history.ledger.lackingKeys(in: history.id, now: history.wall) == [machine.did])
    #expect(history.reader(of: machine).membership(at: history.wall) == .waitingForKey)
    #expect(history.reader(of: history.anchor).view(at: history.wall)?.nodes.count == 2)

    #expect(throws: LedgerError.definitionMissing(machine.did)) {
      try history.ledger.approve(machine.did, in: history.id, now: history.wall, random: history.random)
    }
    #expect(
      try history.ledger.deliverMissingKeys(in: history.id, now: history.wall, random: history.random).isEmpty)
    try history.deliver(to: machine)
    #expect(history.ledger.lackingKeys(in: history.id, now: history.wall).isEmpty)
    // Once is enough.
    let definition = try history.definition(of: machine)
    #expect(
      try history.ledger.approve(
        machine.did, in: history.id, definitions: [machine.did: definition], now: history.wall, random: history.random
      ).isEmpty)

    let reader = history.reader(of: machine)
    #expect(reader.membership(at: history.wall) == .member)
    let view = try #require(reader.view(at: history.wall))
    #expect(view.nodes.count == 2 && view.own?.name == "laptop")
    #expect(view.policy == .accepted(.acceptAll))
    #expect(reader.refusals.isEmpty)
  }

  @Test("what a machine writes is encrypted to path and both roles, and everybody else reads it")
  func writing() throws {
    var history = try V1History(seed: 4)
    let first = try history.join()
    let second = try history.join()
    let entry = try history.publishEndpoint(of: first, port: 4711)
    let envelope = try V1Envelope(try #require(entry.message["encryption"]))
    #expect(
      envelope.entries.map(\.scheme) == [
        .protocolPath, .roleAudience(protocolURI: MeshProtocol.uri, rolePath: MeshProtocol.member),
        .roleAudience(protocolURI: MeshProtocol.uri, rolePath: MeshProtocol.node),
      ])
    for reader in [history.anchor, first, second] {
      let node = history.reader(of: reader).view(at: history.wall)?.nodes.first { $0.did == first.did }
      #expect(node?.endpoint?.localEndpoints.first?.port == 4711)
    }
  }

  @Test("a stranger, and who was not delivered a key, opens nothing")
  func stranger() throws {
    var history = try V1History(seed: 5)
    _ = try history.join()
    let stranger = MachineIdentity.generate(random: history.random)
    let reader = history.reader(of: stranger)
    #expect(reader.membership(at: history.wall) == .notAMember)
    let view = try #require(reader.view(at: history.wall))
    #expect(view.nodes.isEmpty)
    #expect(view.policy != .accepted(.acceptAll))
  }

  // MARK: Removal

  @Test("a removed machine sees that it is, and cannot read what is written once its keys are replaced")
  func removal() throws {
    var history = try V1History(seed: 6)
    let stays = try history.join()
    let goes = try history.join()
    let before = history.reader(of: goes)
    #expect(before.membership(at: history.wall) == .member)

    let removal = try history.ledger.removeNode(
      goes.did, from: history.id, now: history.wall, random: history.random)
    #expect(paths(removal.entries) == ["Delete", "Delete", "$encryption/audience", "$encryption/audience"])
    history.take(removal)
    #expect(throws: LedgerError.notAMember(goes.did)) {
      try history.ledger.removeNode(goes.did, from: history.id, now: history.wall, random: history.random)
    }

    // The old keys stay until everybody who reads with them has been delivered the new ones.
    #expect(try history.ledger.retireAudiences(in: history.id, now: history.wall, random: history.random).isEmpty)
    #expect(history.ledger.lackingKeys(in: history.id, now: history.wall) == [stays.did])
    try history.deliver(to: stays)
    let retired = try history.ledger.retireAudiences(in: history.id, now: history.wall, random: history.random)
    #expect(
      paths(retired.entries).sorted() == [
        "Delete", "Delete", "network/aclPolicy", "network/node", "network/node",
      ])
    history.take(retired)
    #expect(try history.ledger.retireAudiences(in: history.id, now: history.wall, random: history.random).isEmpty)

    var removed = before
    _ = removed.offer(history.messages, at: Instant(nanoseconds: 2), wall: history.wall)
    #expect(removed.membership(at: history.wall) == .removed)
    let entry = try history.publishEndpoint(of: stays, port: 4712)
    _ = removed.offer([entry], at: Instant(nanoseconds: 3), wall: history.wall)
    let seen = removed.view(at: history.wall)?.nodes.first { $0.did == stays.did }
    #expect(seen?.endpoint == nil)
    #expect(history.reader(of: history.anchor).view(at: history.wall)?.nodes.count == 2)

    // Who comes after that reads all of it.
    let late = try history.join()
    let view = try #require(history.reader(of: late).view(at: history.wall))
    #expect(view.nodes.count == 3 && view.policy == .accepted(.acceptAll))
    #expect(view.nodes.first { $0.did == stays.did }?.endpoint != nil)
  }

  @Test("a machine that never came keeps nobody's keys from being replaced")
  func absent() throws {
    var history = try V1History(seed: 7)
    let goes = try history.join()
    let absent = MachineIdentity.generate(random: history.random)
    guard
      case .added(_, let change) = try history.ledger.addNode(
        NodeAdmission(did: absent.did), to: history.id, now: history.wall, random: history.random)
    else { throw V1History.Unexpected() }
    history.take(change)
    history.take(
      try history.ledger.removeNode(goes.did, from: history.id, now: history.wall, random: history.random))
    #expect(
      try !history.ledger.retireAudiences(in: history.id, now: history.wall, random: history.random).isEmpty)
  }

  @Test("own records that somebody who came later cannot read are found, and none once they were written anew")
  func stale() throws {
    var history = try V1History(seed: 8)
    let machine = try history.join()
    let goes = try history.join()
    _ = try history.publishEndpoint(of: machine, port: 1)
    let node = try #require(history.reader(of: machine).view(at: history.wall)?.own)
    #expect(history.reader(of: machine).isCurrent(MeshProtocol.endpoint, below: node.contextID))
    history.take(
      try history.ledger.removeNode(goes.did, from: history.id, now: history.wall, random: history.random))
    try history.deliver(to: machine)
    history.take(try history.ledger.retireAudiences(in: history.id, now: history.wall, random: history.random))
    #expect(!history.reader(of: machine).isCurrent(MeshProtocol.endpoint, below: node.contextID))
    _ = try history.publishEndpoint(of: machine, port: 2)
    #expect(history.reader(of: machine).isCurrent(MeshProtocol.endpoint, below: node.contextID))
  }

  // MARK: Not believed

  @Test("nobody but the anchor makes keys, delivers them, or ends records")
  func forgery() throws {
    var history = try V1History(seed: 9)
    let machine = try history.join()
    let liar = MachineIdentity.generate(random: history.random)
    let signer = MessageSigner(liar)
    let name = try #require(
      AudienceName(
        protocolURI: MeshProtocol.uri, rolePath: MeshProtocol.node, contextID: history.id.contextID))
    let (audience, key) = try AudienceRecord.mint(
      name, roleKey: liar.wireGuardKey.publicKey, random: history.random)
    let delivery = try DeliveryRecord(name, key: key).draft(
      to: machine.did, key: KeyTree(machine).typeKey(protocolURI: MeshProtocol.uri, path: MeshProtocol.node).publicKey,
      random: history.random)
    let node = try #require(history.ledger.nodes(of: history.id).last)
    let early = WallTime(seconds: 1_700_000_000)
    let forged = [
      ReplyEntry(message: signer.recordsWrite(audience.draft, at: early).message.value, data: audience.draft.data),
      ReplyEntry(message: signer.recordsWrite(delivery, at: early).message.value, data: delivery.data),
      ReplyEntry(message: signer.recordsDelete(node.recordID, prune: true, at: history.wall).message.value),
      ReplyEntry(
        message: signer.protocolsConfigure(
          MeshDefinition.mesh(of: liar, envelope: .v1).json, at: history.wall
        ).message.value),
    ]
    var reader = history.reader(of: machine)
    let before = reader.view(at: history.wall)
    let outcome = reader.offer(forged, at: Instant(nanoseconds: 2), wall: history.wall)
    #expect(outcome.refusals.count == 4 && !outcome.changed)
    #expect(reader.view(at: history.wall) == before)
    #expect(
      Set(outcome.refusals.map(\.reason)) == [.onlyOwnerDelivers, .onlyOwnerEnds, .onlyOwnerConfigures])
  }

  @Test("a network that committed to one envelope is not read with the other, nor with the other's definition")
  func envelopes() throws {
    let v1 = try V1History(seed: 10)
    let jwe = try LedgerHistory(seed: 11)
    var asJWE = MeshReader(
      network: NetworkReference(id: v1.id, anchor: v1.anchor.did), identity: v1.anchor)
    let outcome = asJWE.offer(v1.messages, extent: .complete, at: Instant(nanoseconds: 1), wall: v1.wall)
    #expect(outcome.refusals.contains { $0.reason == .otherEnvelope(.jwe) })
    #expect(outcome.refusals.contains { $0.reason == .envelopeChanged(.jwe) })
    #expect(asJWE.view(at: v1.wall) == nil)
    var asV1 = MeshReader(
      network: NetworkReference(id: jwe.id, anchor: jwe.anchor.did, envelope: .v1), identity: jwe.anchor)
    let other = asV1.offer(jwe.messages, extent: .complete, at: Instant(nanoseconds: 1), wall: jwe.wall)
    #expect(other.refusals.contains { $0.reason == .otherEnvelope(.v1) })
    #expect(asV1.view(at: jwe.wall) == nil)
  }

  @Test("an altered ciphertext, and the envelope of another record, open to nothing")
  func altered() throws {
    var history = try V1History(seed: 12)
    let machine = try history.join()
    var entry = try history.publishEndpoint(of: machine, port: 9)
    entry.data?[3] ^= 1
    var reader = history.reader(of: history.anchor)
    let outcome = reader.offer([entry], at: Instant(nanoseconds: 2), wall: history.wall)
    // The message itself is held already, with its own data: this is what somebody else is shown first.
    var fresh = MeshReader(network: history.network, identity: history.anchor)
    let second = fresh.offer([entry], at: Instant(nanoseconds: 2), wall: history.wall)
    #expect(second.refusals.map(\.reason) == [.dataMismatch])
    #expect(!outcome.changed)
  }

  // MARK: Time

  @Test("a reader is the same after a restart, and a removed machine that is shown again stays removed")
  func restart() throws {
    var history = try V1History(seed: 13)
    let stays = try history.join()
    let goes = try history.join()
    let everything = history.messages
    var stored = StoredMesh()
    var reader = MeshReader(network: history.network, identity: stays)
    stored.apply(
      reader.offer(everything, extent: .complete, at: Instant(nanoseconds: 1), wall: history.wall).store)
    history.take(
      try history.ledger.removeNode(goes.did, from: history.id, now: history.wall, random: history.random))
    stored.apply(reader.offer(history.messages, at: Instant(nanoseconds: 2), wall: history.wall).store)
    #expect(reader.view(at: history.wall)?.nodes.count == 2)

    var again = MeshReader(
      network: history.network, identity: stays, stored: try #require(stored.networks[history.id]))
    #expect(again.view(at: history.wall) == reader.view(at: history.wall))
    #expect(again.cipher != nil)
    let outcome = again.offer(everything, extent: .complete, at: Instant(nanoseconds: 3), wall: history.wall)
    #expect(outcome.refusals.contains { $0.reason == .ended })
    #expect(again.view(at: history.wall)?.nodes.count == 2)
    #expect(try Ledger(identity: history.anchor, stored: history.stored).nodes(of: history.id).count == 2)
  }

  @Test("nothing is let in before everything was shown once: a policy that did not come yet is not a missing one")
  func partial() throws {
    let history = try V1History(seed: 14)
    var reader = MeshReader(network: history.network, identity: history.anchor)
    _ = reader.offer(Array(history.messages.dropLast()), at: Instant(nanoseconds: 1), wall: history.wall)
    #expect(reader.view(at: history.wall) == nil)
    #expect(reader.membership(at: history.wall) == .waitingForRecords)
    #expect(reader.cipher == nil)
    _ = reader.offer(history.messages, extent: .complete, at: Instant(nanoseconds: 2), wall: history.wall)
    #expect(reader.view(at: history.wall)?.policy == .accepted(.acceptAll))
  }

  @Test(
    "a node that has everything is clean, one that lost something lacks it, and one that kept what was ended is told again"
  )
  func audit() throws {
    var history = try V1History(seed: 15)
    let goes = try history.join()
    let complete: Set<ProtocolPath> = [
      MeshProtocol.network, MeshProtocol.node, MeshProtocol.aclPolicy, EncryptionControl.audience,
      EncryptionControl.delivery,
    ]
    func audit(_ shown: [ReplyEntry]) -> LedgerAudit {
      var ledger = history.ledger
      return ledger.audit(shown, of: history.id, complete: complete, includesDefinitions: true)
    }
    #expect(audit(history.shownNow()).isClean)
    let without = history.shownNow().filter {
      $0.message["descriptor"]?["protocolPath"]?.string?.hasPrefix("$encryption") != true
    }
    #expect(audit(without).lacking.count == 3)
    let before = history.shownNow()
    history.take(
      try history.ledger.removeNode(goes.did, from: history.id, now: history.wall, random: history.random))
    // A node shows the older of two audiences until that is ended.
    let shown = history.shownNow().dropLast(2)
    #expect(audit(Array(shown)).isClean)
    #expect(audit(before).repeated.count == 2)
    let foreign = MessageSigner(history.anchor).recordsWrite(
      try AudienceRecord.mint(
        try #require(
          AudienceName(
            protocolURI: MeshProtocol.uri, rolePath: MeshProtocol.node, contextID: history.id.contextID)),
        roleKey: history.anchor.wireGuardKey.publicKey, random: history.random
      ).record.draft, at: history.wall)
    #expect(audit([ReplyEntry(message: foreign.message.value)]).foreign != nil)
  }
}
