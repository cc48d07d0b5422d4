import Cryptography
import DWN
import Identity
import Mesh
import TestSupport
import Testing
import Wire

@Suite("Key delivery")
struct KeyDeliveryTests {
  let network = SampleNetwork()

  private func delivered(_ keys: ContextKeyRecord, to recipient: MachineIdentity) throws -> (RecordsWrite, [UInt8]) {
    let draft = try KeyDelivery.draft(keys, to: recipient.did, random: network.random)
    return (MessageSigner(network.anchor).recordsWrite(draft, at: SampleNetwork.time), draft.data)
  }

  /// A delivery whose plaintext somebody changed before it was encrypted and signed.
  private func forged(
    _ epoch: KeyEpoch = .first, earlier: [KeyEpoch] = [], _ change: (inout JSONObject) -> Void = { _ in },
    tags: (inout JSONObject) -> Void = { _ in }
  ) throws -> (RecordsWrite, [UInt8]) {
    let keys = try network.delivery(epoch, earlier: earlier)
    var object = try #require(keys.json.object)
    change(&object)
    let (envelope, ciphertext) = try JWEEnvelope.seal(
      JSONValue.object(object).encoded, to: [EnvelopeRecipient(network.machine.wireGuardKey.publicKey, .didKey)],
      random: network.random)
    var draft = try KeyDelivery.draft(keys, to: network.machine.did, random: network.random)
    draft.encryption = envelope.json
    draft.data = ciphertext
    var changed = draft.tags ?? JSONObject()
    tags(&changed)
    draft.tags = changed
    return (MessageSigner(network.anchor).recordsWrite(draft, at: SampleNetwork.time), ciphertext)
  }

  private func open(_ delivery: (RecordsWrite, [UInt8])) throws -> ContextKeyRecord {
    try KeyDelivery.open(delivery.0, data: delivery.1, for: network.reference, as: network.machine)
  }

  @Test("what the anchor hands over is what the recipient gets")
  func roundTrip() throws {
    let epochs = try [0, 4, 7].map(SampleNetwork.epoch)
    let keys = try network.delivery(epochs[2], earlier: epochs, seq: 12)
    let (write, data) = try delivered(keys, to: network.machine)
    #expect(write.recipient == network.machine.did)
    #expect(write.schema == nil && write.parentID == nil && !write.published)
    #expect(
      write.tags == [
        "protocol": .string(MeshProtocol.uri), "contextId": .string(network.reference.id.text), "epoch": 7,
      ])
    let envelope = try JWEEnvelope(.object(try #require(write.encryption)))
    #expect(envelope.entries.map(\.scheme) == [.didKey])
    #expect(envelope.entries[0].kid == PublicJWK.x25519(network.machine.wireGuardKey.publicKey).thumbprint)
    let received = try open((write, data))
    #expect(received.seq == 12)
    #expect(received.epoch == epochs[2])
    #expect(received.earlier.map(\.epoch) == [epochs[1], epochs[0]])
    #expect(received.json == keys.json)
    var keyring = NetworkKeyring(network.reference, of: network.machine)
    let isNew = keyring.merge(received)
    #expect(isNew)
    for epoch in epochs { #expect(keyring.key(of: epoch)?.bytes == network.anchorKeyring.key(of: epoch)?.bytes) }
    let isStillNew = keyring.merge(received)
    #expect(!isStillNew)
  }

  @Test("a later delivery updates the record of the first")
  func update() throws {
    let (first, _) = try delivered(try network.delivery(.first), to: network.machine)
    let one = try SampleNetwork.epoch(1)
    let draft = try KeyDelivery.draft(
      network.delivery(one, earlier: [.first]), to: network.machine.did, updating: first, random: network.random)
    let second = MessageSigner(network.anchor).recordsWrite(draft, at: SampleNetwork.time + .seconds(1))
    #expect(second.recordID == first.recordID)
    #expect(second.immutableMemberChanged(from: first) == nil)
    #expect(second.tags?["epoch"] == 1)
    #expect(try open((second, draft.data)).epoch == one)
  }

  @Test("at most the newest 32 earlier epochs go along")
  func bounded() throws {
    let epochs = try (0..<50).map(SampleNetwork.epoch)
    let keys = try network.delivery(epochs[40], earlier: epochs.shuffled())
    #expect(keys.earlier.map(\.epoch.number) == Array((8..<40).reversed()))
    let delivery = try delivered(keys, to: network.machine)
    #expect(try open(delivery).earlier.count == 32)
    #expect(delivery.1.count <= MeshDefinition.defaultSizeLimit)
  }

  @Test("only the recipient opens it")
  func recipientOnly() throws {
    let (write, data) = try delivered(try network.delivery(.first), to: network.machine)
    for other in [network.anchor, network.stranger] {
      #expect(throws: MeshError.unreadable(path: KeyDeliveryProtocol.contextKey, reason: .elsewhere)) {
        try KeyDelivery.open(write, data: data, for: network.reference, as: other)
      }
    }
  }

  @Test("a DID without a key gets nothing")
  func noKey() throws {
    let did = try #require(DID("did:example:nobody"))
    let keys = try network.delivery(.first)
    #expect(throws: MeshError.noKey(did)) { try KeyDelivery.draft(keys, to: did, random: network.random) }
  }

  @Test("a keyring without the epoch cannot hand it out")
  func notHeld() throws {
    let keyring = try network.machineKeyring(.first)
    let epoch = try SampleNetwork.epoch(3)
    #expect(ContextKeyRecord(network: network.reference, keyring: keyring, epoch: epoch, earlier: [], seq: 1) == nil)
  }

  @Test("the unchanged form of the forgeries is accepted")
  func control() throws {
    #expect(try open(forged()).epoch == .first)
    #expect(try open(forged { $0["later"] = "unknown members do not matter" }).epoch == .first)
    #expect(try open(forged { $0["earlier"] = .null }).earlier.isEmpty)
  }

  @Test("a private key that does not give its public half is refused")
  func keyHalves() throws {
    let other = network.stranger.wireGuardKey
    func refused(_ member: String, _ value: JSONValue) throws {
      let delivery = try forged { object in
        var key = object["derivedPrivateKey"]?.object ?? JSONObject()
        key[member] = value
        object["derivedPrivateKey"] = .object(key)
      }
      #expect(throws: MeshError.self, "\(member)") { try open(delivery) }
    }
    try refused("x", .string(Base64.encode(other.publicKey.bytes.array)))
    try refused("d", .string(Base64.encode(other.bytes.copy())))
    try refused("d", "AA")
    try refused("d", .null)
    try refused("crv", "Ed25519")
    let earlier = try forged(SampleNetwork.epoch(3), earlier: [.first]) { object in
      let wrong = object["derivedPrivateKey"]?["d"]
      var key = object["earlier"]?.array?.first?["derivedPrivateKey"]?.object ?? JSONObject()
      key["d"] = wrong
      object["earlier"] = [["epoch": 0, "derivedPrivateKey": .object(key)]]
    }
    #expect(throws: MeshError.self) { try open(earlier) }
  }

  @Test("a derivation path of another epoch, network or scheme is refused")
  func derivationPath() throws {
    let id = network.reference.id.text
    let paths: [JSONValue] = [
      ["protocolContext", "1", .string(id)], ["protocolContext", "0", .string(id)], ["protocolContext", "bafyother"],
      ["protocolPath", .string(id)], ["protocolContext"], [], [.string(id)], ["protocolContext", .string(id), "x"],
      ["protocolContext", 0, .string(id)], .string(id), .null,
    ]
    for path in paths {
      #expect(throws: MeshError.self, "\(path.text)") { try open(forged { $0["derivationPath"] = path }) }
    }
    let one = try SampleNetwork.epoch(1)
    #expect(throws: MeshError.self) {
      try open(forged(one) { $0["derivationPath"] = ["protocolContext", .string(id)] })
    }
    #expect(throws: MeshError.self) { try open(forged { $0["derivationScheme"] = "protocolPath" }) }
  }

  @Test("another root, a missing seq, and epochs out of order are refused")
  func members() throws {
    let seven = try SampleNetwork.epoch(7)
    let six = try SampleNetwork.epoch(6)
    let changes: [(inout JSONObject) -> Void] = [
      { $0["rootKeyId"] = .string(network.stranger.encryptionKeyID) }, { $0["rootKeyId"] = nil }, { $0["seq"] = nil },
      { $0["seq"] = 0 }, { $0["seq"] = "2" }, { $0["epoch"] = nil }, { $0["epoch"] = 6 }, { $0["epoch"] = -1 },
      { $0["earlier"] = .array(Array(($0["earlier"]?.array ?? []).reversed())) },
      { $0["earlier"] = .array(($0["earlier"]?.array ?? []) + ($0["earlier"]?.array ?? [])) },
      { $0["earlier"] = .array(Array(repeating: $0["earlier"]?.array?.last ?? .null, count: 33)) },
      { $0["earlier"] = 3 }, { $0["earlier"] = [3] },
      { object in object["earlier"] = [["epoch": 7, "derivedPrivateKey": object["derivedPrivateKey"] ?? .null]] },
    ]
    #expect(try open(forged(seven, earlier: [six, .first])).earlier.count == 2)
    for (index, change) in changes.enumerated() {
      let delivery = try forged(seven, earlier: [six, .first], change)
      #expect(throws: MeshError.self, "change \(index)") { try open(delivery) }
    }
  }

  @Test("tags that name another protocol, network or epoch are refused")
  func tags() throws {
    let changes: [(inout JSONObject) -> Void] = [
      { $0["protocol"] = "https://example.com/other" }, { $0["contextId"] = "bafyother" }, { $0["epoch"] = 1 },
      { $0["epoch"] = "0" }, { $0["epoch"] = nil }, { $0["more"] = "tag" },
    ]
    for (index, change) in changes.enumerated() {
      let delivery = try forged(tags: change)
      #expect(throws: MeshError.self, "change \(index)") { try open(delivery) }
    }
  }

  @Test("a delivery with a second reader, or by another scheme, is refused")
  func envelope() throws {
    let keys = try network.delivery(.first)
    let machineKey = network.machine.wireGuardKey.publicKey
    for recipients in [
      [EnvelopeRecipient(machineKey, .didKey), EnvelopeRecipient(network.stranger.wireGuardKey.publicKey, .didKey)],
      [EnvelopeRecipient(machineKey, .protocolPath)], [EnvelopeRecipient(machineKey, .protocolContext(.first))],
      [EnvelopeRecipient(network.stranger.wireGuardKey.publicKey, .didKey)],
    ] {
      let (envelope, ciphertext) = try JWEEnvelope.seal(keys.encoded(), to: recipients, random: network.random)
      var draft = try KeyDelivery.draft(keys, to: network.machine.did, random: network.random)
      draft.encryption = envelope.json
      draft.data = ciphertext
      let write = MessageSigner(network.anchor).recordsWrite(draft, at: SampleNetwork.time)
      #expect(throws: MeshError.self) { try open((write, ciphertext)) }
    }
  }

  @Test("no description of a delivery or a keyring shows a key")
  func secrets() throws {
    let keys = try network.delivery(.first)
    let keyring = try network.machineKeyring(.first)
    let secret = Base64.encode(keys.key.bytes.copy())
    for text in ["\(keys)", String(reflecting: keys), "\(keyring)", String(reflecting: keyring)] {
      #expect(!text.contains(secret))
    }
    var dumped = ""
    dump(keys, to: &dumped)
    dump(keyring, to: &dumped)
    #expect(!dumped.contains(secret))
  }
}
