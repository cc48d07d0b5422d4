import Cryptography
import DWN
import Identity
import TestSupport
import Testing
import Wire

@Suite("Key tree")
struct KeyTreeTests {
  private static let path = "mesh/key-derivation-jwe.json"
  private static let identities = ConformanceCase.all(path, "identities")

  private func check(_ vector: JSONValue, _ key: X25519PrivateKey) {
    #expect(Hex.encode(key.bytes.copy()) == vector["privateKeyHex"]?.string)
    #expect(Base64.encode(key.publicKey.bytes.array) == vector["publicKey_b64u"]?.string)
  }

  @Test(
    "every key of the tree is that of the other implementation",
    .enabled(if: Fixtures.have(path), "\(Fixtures.skipped)"),
    arguments: identities)
  func vectors(vector: ConformanceCase) throws {
    let seed = SHA2.sha256(Array(("meshd-fixture:" + (vector["identity"]?.string ?? "")).utf8))
    let identity = try #require(MachineIdentity(seed: SecretBytes(seed)))
    #expect(Hex.encode(identity.wireGuardKey.bytes.copy()) == vector["rootPrivateKeyHex"]?.string)
    let tree = KeyTree(identity)
    let uri = try #require(vector["protocol"]?.string)
    for entry in try #require(vector["paths"]?.array) + (vector["keyDelivery"]?.array ?? [])
      + (vector["contexts"]?.array ?? [])
    {
      let segments = try #require(entry["derivationPath"]?.array).compactMap(\.string)
      check(entry, tree.key(at: try #require(DerivationPath(segments))))
    }
    for entry in try #require(vector["paths"]?.array) {
      guard let path = entry["protocolPath"]?.string.flatMap({ ProtocolPath($0) }) else { continue }
      check(entry, tree.typeKey(protocolURI: uri, path: path))
    }
    for entry in try #require(vector["contexts"]?.array) {
      let network = try #require(entry["contextId"]?.string.flatMap { RecordID($0) })
      check(entry, tree.networkKey(network, epoch: .first))
    }
  }

  @Test(
    "the public keys of an installed definition are those of its paths",
    .enabled(if: Fixtures.have(path), "\(Fixtures.skipped)"))
  func definition() throws {
    let file = try Fixtures.json(Self.path)
    let anchor = try #require(file["identities"]?.array?.first { $0["identity"] == file["installedDefinitionOf"] })
    let root = try #require(anchor["rootPrivateKeyHex"]?.string.flatMap { Hex.decode($0) })
    let tree = KeyTree(root: try #require(X25519PrivateKey(SecretBytes(root))))
    var checked = 0
    func walk(_ ruleSet: JSONValue, _ path: String, _ uri: String) throws {
      for (name, child) in ruleSet.object?.members ?? [] where !name.hasPrefix("$") {
        let place = path.isEmpty ? name : path + "/" + name
        let key = tree.typeKey(protocolURI: uri, path: try #require(ProtocolPath(place)))
        let jwk = try #require(child["$encryption"]?["publicKeyJwk"])
        #expect(PublicJWK(jwk) == .x25519(key.publicKey), "\(place)")
        checked += 1
        try walk(child, place, uri)
      }
    }
    for name in ["installedMeshDefinition", "installedKeyDeliveryDefinition"] {
      let definition = try #require(file[name])
      try walk(try #require(definition["structure"]), "", try #require(definition["protocol"]?.string))
    }
    #expect(checked == 13)
  }

  private static let v1Path = "mesh/key-derivation-v1.json"

  @Test(
    "the keys of encryption v1, also those that a machine asks to be delivered to, are those of the other implementation",
    .enabled(if: Fixtures.have(v1Path), "\(Fixtures.skipped)"),
    arguments: ConformanceCase.all(v1Path, "identities"))
  func v1(vector: ConformanceCase) throws {
    let seed: [UInt8] =
      switch vector["identity"]?.string {
      case "seed-zero": [UInt8](repeating: 0, count: 32)
      case "seed-sequence": (0..<32).map { UInt8($0) }
      case let name: SHA2.sha256(Array(("meshd-fixture:" + (name ?? "")).utf8))
      }
    let identity = try #require(MachineIdentity(seed: SecretBytes(seed)))
    #expect(identity.did.text == vector["did"]?.string)
    let tree = KeyTree(identity)
    for entry in try #require(vector["paths"]?.array) {
      let segments = try #require(entry["derivationPath"]?.array).compactMap(\.string)
      let key = tree.key(at: try #require(DerivationPath(segments)))
      check(entry, key)
      #expect(PublicJWK.x25519(key.publicKey).thumbprint == entry["keyId"]?.string)
    }
    for (path, jwk) in vector["roleKeys"]?.object?.members ?? [] {
      let key = tree.typeKey(protocolURI: Self.meshURI, path: try #require(ProtocolPath(path)))
      #expect(PublicJWK(jwk) == .x25519(key.publicKey), "\(path)")
    }
  }

  private static let meshURI = "https://enbox.id/protocols/wireguard-mesh"

  @Test("a path has at least one segment and no empty one")
  func paths() {
    #expect(DerivationPath([]) == nil)
    #expect(DerivationPath([""]) == nil)
    #expect(DerivationPath(["a", "", "b"]) == nil)
    #expect(DerivationPath(["a", "b"])?.segments == ["a", "b"])
  }

  @Test("a key gives those below it, and epochs do not lie below each other")
  func subtree() throws {
    let tree = KeyTree(MachineIdentity.generate(random: SeededRandom(1)))
    let network = try #require(RecordID("network"))
    let below = KeyTree(root: tree.key(at: try #require(DerivationPath(["a"])))).key(
      at: try #require(DerivationPath(["b"])))
    #expect(below.bytes == tree.key(at: try #require(DerivationPath(["a", "b"]))).bytes)
    let first = KeyTree(root: tree.networkKey(network, epoch: .first))
    let second = try #require(KeyEpoch(1))
    for path in [["1"], ["1", "network"], ["network"], ["protocolContext", "1", "network"]] {
      #expect(first.key(at: try #require(DerivationPath(path))).bytes != tree.networkKey(network, epoch: second).bytes)
    }
  }

  @Test("an epoch is an integer that JSON can carry")
  func epochs() {
    #expect(KeyEpoch(-1) == nil)
    #expect(KeyEpoch(0) == .first)
    #expect(KeyEpoch(JSONValue.greatestInteger)?.number == JSONValue.greatestInteger)
    #expect(KeyEpoch(JSONValue.greatestInteger + 1) == nil)
    #expect(KeyEpoch(JSONValue?.none) == nil)
    #expect(KeyEpoch(JSONValue?.some("1")) == nil)
    #expect(KeyEpoch(JSONValue?.some(.number(1.5))) == nil)
    #expect(KeyEpoch(JSONValue?.some(7))?.description == "7")
  }
}
