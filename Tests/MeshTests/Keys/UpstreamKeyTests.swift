import Cryptography
import DWN
import Identity
import Mesh
import TestSupport
import Testing
import Wire

/// The hierarchy of keys as upstream derived it: other URIs, the same tree.
@Suite("Upstream's key hierarchy")
struct UpstreamKeyTests {
  static let vectors = "mesh/key-derivation-jwe.json"

  @Test(
    "keys of paths, contexts and deliveries are those of upstream",
    .enabled(if: Fixtures.have(vectors), Comment(rawValue: Fixtures.skipped)))
  func derivation() throws {
    let json = try Fixtures.json(Self.vectors)
    var count = 0
    for identity in try #require(json["identities"]?.array) {
      let root = try #require(identity["rootPrivateKeyHex"]?.string.flatMap { Hex.decode($0) })
      let tree = KeyTree(root: try #require(X25519PrivateKey(SecretBytes(root))))
      for list in ["paths", "keyDelivery", "contexts"] {
        for vector in try #require(identity[list]?.array) {
          let path = try #require(vector["derivationPath"]?.array).compactMap(\.string)
          let key = tree.key(at: try #require(DerivationPath(path)))
          #expect(Hex.encode(key.bytes.copy()) == vector["privateKeyHex"]?.string)
          #expect(Base64.encode(key.publicKey.bytes.array) == vector["publicKey_b64u"]?.string)
          if let context = vector["contextId"]?.string {
            let network = try #require(RecordID(context))
            #expect(tree.networkKey(network, epoch: .first).publicKey == key.publicKey)
          }
          if let text = vector["protocolPath"]?.string, let path = ProtocolPath(text) {
            let uri = try #require(identity["protocol"]?.string)
            #expect(tree.typeKey(protocolURI: uri, path: path).publicKey == key.publicKey)
          }
          count += 1
        }
      }
    }
    #expect(count > 40)
  }

  @Test(
    "the keys that upstream installed are those that are injected here",
    .enabled(if: Fixtures.have(vectors), Comment(rawValue: Fixtures.skipped)))
  func installed() throws {
    let json = try Fixtures.json(Self.vectors)
    let name = try #require(json["installedDefinitionOf"]?.string)
    let did = try #require(
      json["identities"]?.array?.first { $0["identity"]?.string == name }?["did"]?.string.flatMap { DID($0) })
    let mesh = try MeshDefinition(try #require(json["installedMeshDefinition"]), anchor: did)
    #expect(mesh.envelope == .jwe)
    #expect(mesh.typeKeys.count > 10)
    let identity = try #require(json["identities"]?.array?.first { $0["identity"]?.string == name })
    for vector in try #require(identity["paths"]?.array) {
      guard let path = vector["protocolPath"]?.string.flatMap({ ProtocolPath($0) }), let key = mesh.typeKeys[path]
      else { continue }
      #expect(Base64.encode(key.bytes.array) == vector["publicKey_b64u"]?.string, "\(path)")
    }
  }
}
