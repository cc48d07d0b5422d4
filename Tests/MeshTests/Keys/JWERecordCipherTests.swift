import Cryptography
import DWN
import Identity
import Mesh
import TestSupport
import Testing
import Wire

@Suite("Record encryption")
struct JWERecordCipherTests {
  let network = SampleNetwork()
  static let plaintext = Array(#"{"hello":"mesh"}"#.utf8)
  static let memberPaths = MeshProtocol.paths.filter { MeshProtocol.secrecy(of: $0) == .members }
  static let clearPaths = MeshProtocol.paths.filter { MeshProtocol.secrecy(of: $0) == .clear }

  @Test("a member's record opens for the anchor and for a member of its epoch", arguments: memberPaths)
  func membersRead(path: ProtocolPath) throws {
    let epoch = try SampleNetwork.epoch(9)
    let keyring = try network.machineKeyring(epoch, earlier: [.first])
    let machine = network.cipher(of: network.machine, keyring: keyring, epoch: epoch)
    let anchor = network.cipher(of: network.anchor, epoch: epoch)
    for writer in [machine, anchor] {
      let sealed = try writer.seal(Self.plaintext, at: path, random: network.random)
      let envelope = try JWEEnvelope(try #require(sealed.encryption))
      #expect(envelope.entries.map(\.scheme) == [.protocolContext(epoch), .protocolPath])
      #expect(envelope.entries[1].kid == network.definition.typeKeys[path].map { PublicJWK.x25519($0).thumbprint })
      #expect(sealed.data.count == Self.plaintext.count)
      let write = try network.write(sealed, at: path)
      #expect(try machine.open(write, data: sealed.data) == Self.plaintext)
      #expect(try anchor.open(write, data: sealed.data) == Self.plaintext)
    }
  }

  @Test("what the anchor alone reads has one entry, its own")
  func anchorReads() throws {
    let machine = network.cipher(of: network.machine, keyring: try network.machineKeyring(.first))
    let anchor = network.cipher(of: network.anchor)
    let sealed = try anchor.seal(Self.plaintext, at: MeshProtocol.preAuthKey, random: network.random)
    #expect(try JWEEnvelope(try #require(sealed.encryption)).entries.map(\.scheme) == [.protocolPath])
    let write = try network.write(sealed, at: MeshProtocol.preAuthKey)
    #expect(try anchor.open(write, data: sealed.data) == Self.plaintext)
    #expect(throws: MeshError.self) { try machine.open(write, data: sealed.data) }
  }

  @Test("records in clear stay in clear", arguments: clearPaths)
  func clear(path: ProtocolPath) throws {
    let cipher = network.cipher(of: network.stranger, definition: network.definition)
    let sealed = try cipher.seal(Self.plaintext, at: path, random: network.random)
    #expect(sealed == SealedData(data: Self.plaintext, encryption: nil))
    guard path.segments[0] == "network", path.depth > 1 else { return }
    #expect(try cipher.open(network.write(sealed, at: path), data: sealed.data) == Self.plaintext)
  }

  @Test("two records of one text have nothing in common")
  func fresh() throws {
    let cipher = network.cipher(of: network.anchor)
    let one = try cipher.seal(Self.plaintext, at: MeshProtocol.node, random: network.random)
    let two = try cipher.seal(Self.plaintext, at: MeshProtocol.node, random: network.random)
    #expect(one.data != two.data)
    #expect(one.encryption != two.encryption)
  }

  @Test("nothing is written without the key of the epoch, the type key, or a path")
  func missingKeys() throws {
    let machine = network.cipher(of: network.machine)
    #expect(throws: MeshError.self) { try machine.seal(Self.plaintext, at: MeshProtocol.node, random: network.random) }
    let keyring = try network.machineKeyring(.first)
    var later = network.cipher(of: network.machine, keyring: keyring, epoch: try SampleNetwork.epoch(1))
    #expect(throws: MeshError.self) { try later.seal(Self.plaintext, at: MeshProtocol.node, random: network.random) }
    later.epoch = .first
    _ = try later.seal(Self.plaintext, at: MeshProtocol.node, random: network.random)
    later.definition = nil
    #expect(throws: MeshError.self) { try later.seal(Self.plaintext, at: MeshProtocol.node, random: network.random) }
    let anchor = network.cipher(of: network.anchor)
    #expect(throws: MeshError.self) { try anchor.seal(Self.plaintext, at: "network/other", random: network.random) }
  }

  @Test("a definition with $keyAgreement gives no type keys for writing")
  func v1Definition() throws {
    var json = try #require(network.definition.json.object)
    json["$keyAgreement"] = ["publicKeyJwk": ["kty": "OKP"]]
    let v1 = try MeshDefinition(.object(json), anchor: network.anchor.did)
    let cipher = network.cipher(of: network.anchor, definition: v1)
    #expect(throws: MeshError.self) { try cipher.seal(Self.plaintext, at: MeshProtocol.node, random: network.random) }
  }

  @Test("a record that names an epoch and carries another's key is refused, by the anchor too")
  func wrongEpoch() throws {
    let one = try SampleNetwork.epoch(1)
    let keyring = try network.machineKeyring(one, earlier: [.first])
    let firstKey = try #require(keyring.key(of: .first)).publicKey
    let typeKey = try #require(network.definition.typeKeys[MeshProtocol.node])
    let (write, data) = try network.write(
      Self.plaintext,
      to: [EnvelopeRecipient(firstKey, .protocolContext(one)), EnvelopeRecipient(typeKey, .protocolPath)],
      at: MeshProtocol.node)
    for cipher in [network.cipher(of: network.machine, keyring: keyring), network.cipher(of: network.anchor)] {
      #expect { try cipher.open(write, data: data) } throws: { Self.isNotAddressed($0) }
    }
  }

  @Test("an entry for the wrong key is not tried, and no other in its place")
  func wrongKid() throws {
    let strangerKey = network.stranger.wireGuardKey.publicKey
    let typeKey = try #require(network.definition.typeKeys[MeshProtocol.node])
    let (write, data) = try network.write(
      Self.plaintext,
      to: [EnvelopeRecipient(strangerKey, .protocolContext(.first)), EnvelopeRecipient(typeKey, .protocolPath)],
      at: MeshProtocol.node)
    let machine = network.cipher(of: network.machine, keyring: try network.machineKeyring(.first))
    for cipher in [machine, network.cipher(of: network.anchor)] {
      #expect { try cipher.open(write, data: data) } throws: { Self.isNotAddressed($0) }
    }
  }

  @Test("a type key of another path does not open a record, nor does a DID's key stand in a mesh record")
  func wrongScheme() throws {
    let elsewhere = try #require(network.definition.typeKeys[MeshProtocol.relay])
    let (moved, movedData) = try network.write(
      Self.plaintext, to: [EnvelopeRecipient(elsewhere, .protocolPath)], at: MeshProtocol.node)
    let anchor = network.cipher(of: network.anchor)
    #expect { try anchor.open(moved, data: movedData) } throws: { Self.isNotAddressed($0) }
    let typeKey = try #require(network.definition.typeKeys[MeshProtocol.node])
    let (odd, oddData) = try network.write(
      Self.plaintext,
      to: [
        EnvelopeRecipient(typeKey, .protocolPath), EnvelopeRecipient(network.anchor.wireGuardKey.publicKey, .didKey),
      ], at: MeshProtocol.node)
    #expect(throws: MeshError.self) { try anchor.open(odd, data: oddData) }
  }

  @Test("a missing epoch is named, so that its delivery can be waited for")
  func missingEpoch() throws {
    let epoch = try SampleNetwork.epoch(5)
    let anchor = network.cipher(of: network.anchor, epoch: epoch)
    let sealed = try anchor.seal(Self.plaintext, at: MeshProtocol.node, random: network.random)
    let write = try network.write(sealed, at: MeshProtocol.node)
    var machine = network.cipher(of: network.machine, keyring: try network.machineKeyring(.first))
    #expect { try machine.open(write, data: sealed.data) } throws: { ($0 as? MeshError)?.missingEpoch == epoch }
    _ = machine.keyring.merge(try network.delivery(epoch))
    #expect(try machine.open(write, data: sealed.data) == Self.plaintext)
  }

  @Test("clear text where it must be encrypted, and the other way round, are refused")
  func clearAndNot() throws {
    let anchor = network.cipher(of: network.anchor)
    for path in Self.memberPaths + [MeshProtocol.preAuthKey] {
      let write = try network.write(SealedData(data: Self.plaintext, encryption: nil), at: path)
      #expect(throws: MeshError.unreadable(path: path, reason: .inClear)) {
        try anchor.open(write, data: Self.plaintext)
      }
    }
    let sealed = try anchor.seal(Self.plaintext, at: MeshProtocol.node, random: network.random)
    let head = try network.write(sealed, at: MeshProtocol.head)
    #expect(throws: MeshError.unreadable(path: MeshProtocol.head, reason: .encrypted)) {
      try anchor.open(head, data: sealed.data)
    }
  }

  @Test("a record of another network is not opened, although the key would fit")
  func otherNetwork() throws {
    let other = NetworkReference(id: try #require(NetworkID("bafyother")), anchor: network.anchor.did)
    let cipher = JWERecordCipher(
      network: other, identity: network.anchor, keyring: network.anchorKeyring, epoch: .first,
      definition: network.definition)
    let sealed = try network.cipher(of: network.anchor).seal(
      Self.plaintext, at: MeshProtocol.node, random: network.random)
    let write = try network.write(sealed, at: MeshProtocol.node)
    #expect(throws: MeshError.unreadable(path: MeshProtocol.node, reason: .elsewhere)) {
      try cipher.open(write, data: sealed.data)
    }
  }

  @Test("data or envelope that were altered do not open", arguments: 0..<200)
  func altered(seed: UInt64) throws {
    let random = SeededRandom(seed)
    let anchor = network.cipher(of: network.anchor)
    let sealed = try anchor.seal(Self.plaintext, at: MeshProtocol.node, random: network.random)
    var data = sealed.data
    data[Int(random.uniform(below: UInt64(data.count)))] ^= 1 << UInt8(random.uniform(below: 8))
    let write = try network.write(sealed, at: MeshProtocol.node)
    #expect(throws: MeshError.self, "seed \(seed)") { try anchor.open(write, data: data) }
  }

  private static func isNotAddressed(_ error: any Error) -> Bool {
    if case .unreadable(_, .envelope(.notAddressed))? = error as? MeshError { true } else { false }
  }
}
