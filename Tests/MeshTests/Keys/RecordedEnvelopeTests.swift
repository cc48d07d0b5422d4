import Cryptography
import DWN
import Identity
import Mesh
import TestSupport
import Testing
import Wire

/// What other programs encrypted, opened here by exactly those who may.
@Suite("Recorded envelopes", .enabled(if: RecordedNetwork.isAtHand, Comment(rawValue: Fixtures.skipped)))
struct RecordedEnvelopeTests {
  let network: RecordedNetwork

  init() throws {
    network = try RecordedNetwork()
  }

  @Test("network keys of every epoch are those of the vectors, and none lies below another")
  func epochs() throws {
    let keyring = NetworkKeyring(network.reference, of: network.anchor)
    let epochs = try #require(network.json["epochs"]?.array)
    #expect(epochs.count == 4)
    let forbidden = try #require(network.json["notAnEpochKey"]?["privateKeyHex"]?.string)
    for entry in epochs {
      let epoch = try #require(KeyEpoch(entry["epoch"]))
      let key = try #require(keyring.key(of: epoch))
      #expect(Hex.encode(key.bytes.copy()) == entry["privateKeyHex"]?.string)
      #expect(Base64.encode(key.publicKey.bytes.array) == entry["publicKey_b64u"]?.string)
      #expect(PublicJWK.x25519(key.publicKey).thumbprint == entry["kid"]?.string)
      #expect(Hex.encode(key.bytes.copy()) != forbidden)
    }
    let first = try #require(keyring.key(of: .first))
    let below = KeyTree(root: first).key(at: try #require(DerivationPath(["1"])))
    #expect(Hex.encode(below.bytes.copy()) == forbidden)
  }

  @Test("a record of a mesh opens with the network key of its epoch, and gives the recorded plaintext")
  func byNetworkKey() throws {
    var opened = 0
    for record in try network.records() where record.write.protocolURI == MeshProtocol.uri && record.plaintext != nil {
      let epoch = try epoch(of: record)
      for name in ["anchor", "node-b"] {
        let cipher = try network.cipher(of: name, keyring: holding(epoch))
        #expect(
          try cipher.open(record.write, data: record.data) == Array(try #require(record.plaintext).utf8),
          "\(record.name)")
      }
      opened += 1
    }
    #expect(opened > 10)
  }

  @Test("the anchor opens every record of the mesh with nothing but its identity")
  func anchor() throws {
    let cipher = try network.cipher(of: "anchor")
    let records = try network.records().filter { $0.write.protocolURI == MeshProtocol.uri }
    #expect(records.count > 10)
    for record in records {
      let plaintext = try cipher.open(record.write, data: record.data)
      #expect(plaintext == record.plaintext.map { Array($0.utf8) } ?? record.data, "\(record.name)")
    }
  }

  @Test("the anchor's type key is a reader of every encrypted record, as its entries say")
  func typeKey() throws {
    let records = try network.records().filter { $0.readers.contains("anchor type key") }
    #expect(records.count > 3)
    for record in records {
      let envelope = try JWEEnvelope(.object(try #require(record.write.encryption)))
      #expect(envelope.entries.map(\.scheme) == [.protocolContext(try epoch(of: record)), .protocolPath])
      let key = KeyTree(network.anchor).typeKey(protocolURI: MeshProtocol.uri, path: record.write.path)
      #expect(try envelope.open(record.data, with: key) == Array(try #require(record.plaintext).utf8), "\(record.name)")
    }
  }

  @Test("of all keys there are, exactly the recorded readers open a record")
  func exactReaders() throws {
    var checked = 0
    for record in try network.records() where record.plaintext != nil {
      let envelope = try JWEEnvelope(.object(try #require(record.write.encryption)))
      for (name, key) in try allKeys(at: record.write) {
        let plaintext = try? envelope.open(record.data, with: key)
        let expected = record.readers.contains(name) ? record.plaintext.map { Array($0.utf8) } : nil
        #expect(plaintext == expected, "\(record.name) with \(name)")
        checked += 1
      }
    }
    #expect(checked > 150)
  }

  @Test("nobody else opens a record: not without the epoch's key, not with another's, not with the key that is none")
  func byNobodyElse() throws {
    let epochs = try #require(network.json["epochs"]?.array).compactMap { KeyEpoch($0["epoch"]) }
    for record in try network.records() where record.write.protocolURI == MeshProtocol.uri && record.plaintext != nil {
      let epoch = try epoch(of: record)
      let others = try holding(epochs.filter { $0 != epoch })
      let cipher = try network.cipher(of: "node-b", keyring: others)
      #expect { try cipher.open(record.write, data: record.data) } throws: { ($0 as? MeshError)?.missingEpoch == epoch }
      let strangers = NetworkKeyring(network: network.reference.id, anchor: try network.identity("node-b"))
      let stranger = try network.cipher(of: "node-b", keyring: strangers)
      #expect(throws: MeshError.self) { try stranger.open(record.write, data: record.data) }
    }
  }

  @Test("a delivery opens for its recipient alone")
  func deliveries() throws {
    var opened = 0
    for record in try network.records() where record.write.path == KeyDeliveryProtocol.contextKey {
      for name in ["anchor", "node-a", "node-b", "member"] {
        let identity = try network.identity(name)
        if record.readers == ["\(name) DID key"] {
          let keys = try KeyDelivery.open(record.write, data: record.data, for: network.reference, as: identity)
          #expect(keys.json.text == record.plaintext)
          #expect(try keys.encoded() == Array(try #require(record.plaintext).utf8))
          opened += 1
        } else {
          #expect(throws: MeshError.unreadable(path: KeyDeliveryProtocol.contextKey, reason: .elsewhere)) {
            try KeyDelivery.open(record.write, data: record.data, for: network.reference, as: identity)
          }
        }
      }
    }
    #expect(opened == 3)
  }

  @Test("node-b reads what its deliveries cover")
  func member() throws {
    let early = try network.keyring(of: "node-b", after: "contextKey for node-b")
    #expect(early.epochs == [.first])
    let late = try network.keyring(of: "node-b", after: "contextKey for node-b, next epoch")
    #expect(late.epochs.map(\.number) == [1_795_262_420, 0])
    let first = try network.record("policy version 1")
    let second = try network.record("policy version 2")
    let before = try network.cipher(of: "node-b", keyring: early)
    let after = try network.cipher(of: "node-b", keyring: late)
    #expect(try ACLPolicy(parsing: before.open(first.write, data: first.data)).version == 1)
    #expect(throws: MeshError.self) { try before.open(second.write, data: second.data) }
    #expect(try ACLPolicy(parsing: after.open(first.write, data: first.data)).version == 1)
    #expect(try ACLPolicy(parsing: after.open(second.write, data: second.data)).version == 2)
  }

  @Test("a delivery in clear, and a delivery for another network, are refused")
  func badDeliveries() throws {
    let clear = try network.record("contextKey in clear", in: "refuse")
    let reader = try network.identity("node-b")
    #expect(throws: MeshError.unreadable(path: KeyDeliveryProtocol.contextKey, reason: .inClear)) {
      try KeyDelivery.open(clear.write, data: clear.data, for: network.reference, as: reader)
    }
    let good = try network.record("contextKey for node-b")
    let other = NetworkReference(id: try #require(NetworkID("bafyother")), anchor: network.anchor.did)
    #expect(throws: MeshError.unreadable(path: KeyDeliveryProtocol.contextKey, reason: .elsewhere)) {
      try KeyDelivery.open(good.write, data: good.data, for: other, as: reader)
    }
    let otherAnchor = NetworkReference(id: network.reference.id, anchor: reader.did)
    #expect(throws: MeshError.self) { try KeyDelivery.open(good.write, data: good.data, for: otherAnchor, as: reader) }
  }

  /// Every key of the vectors by the name that `readers` gives it, and some that are in no list of readers.
  private func allKeys(at write: RecordsWrite) throws -> [(name: String, key: X25519PrivateKey)] {
    func key(_ hex: JSONValue?) throws -> X25519PrivateKey {
      let bytes = try #require(hex?.string.flatMap { Hex.decode($0) })
      return try #require(X25519PrivateKey(SecretBytes(bytes)))
    }
    var keys = try #require(network.json["epochs"]?.array).map { entry in
      (name: "epoch \(entry["epoch"]?.integer ?? -1)", key: try key(entry["privateKeyHex"]))
    }
    keys.append((name: "no epoch", key: try key(network.json["notAnEpochKey"]?["privateKeyHex"])))
    for name in ["anchor", "node-a", "node-b", "member"] {
      let identity = try network.identity(name)
      keys.append((name: "\(name) DID key", key: identity.wireGuardKey))
      keys.append(
        (name: "\(name) type key", key: KeyTree(identity).typeKey(protocolURI: write.protocolURI, path: write.path)))
    }
    return keys
  }

  private func epoch(of record: RecordedNetwork.Record) throws -> KeyEpoch {
    let text = try #require(record.readers.first { $0.hasPrefix("epoch ") })
    return try #require(Int64(text.dropFirst(6)).flatMap { KeyEpoch($0) })
  }

  private func holding(_ epoch: KeyEpoch) throws -> NetworkKeyring { try holding([epoch]) }

  /// A member's keyring with the keys of the vectors for these epochs.
  private func holding(_ epochs: [KeyEpoch]) throws -> NetworkKeyring {
    var keyring = NetworkKeyring(network: network.reference.id)
    guard let newest = epochs.max() else { return keyring }
    let anchor = NetworkKeyring(network: network.reference.id, anchor: try network.identity("anchor"))
    let delivery = ContextKeyRecord(
      network: network.reference, keyring: anchor, epoch: newest, earlier: epochs.filter { $0 != newest }, seq: 1)
    _ = keyring.merge(try #require(delivery))
    for entry in try #require(network.json["epochs"]?.array) {
      guard let epoch = KeyEpoch(entry["epoch"]), epochs.contains(epoch) else { continue }
      let bytes = try #require(entry["privateKeyHex"]?.string.flatMap { Hex.decode($0) })
      #expect(keyring.key(of: epoch)?.bytes == SecretBytes(bytes), "epoch \(epoch)")
    }
    return keyring
  }
}
