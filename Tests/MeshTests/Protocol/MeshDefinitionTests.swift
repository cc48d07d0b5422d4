import Cryptography
import DWN
import Identity
import Mesh
import TestSupport
import Testing
import Wire

@Suite("Protocol definitions")
struct MeshDefinitionTests {
  let anchor = MachineIdentity.generate(random: SeededRandom(1))

  @Test(
    "injection gives exactly the installed definitions",
    .enabled(if: RecordedNetwork.isAtHand, Comment(rawValue: Fixtures.skipped)),
    arguments: ["mesh definition", "key-delivery definition"])
  func installed(name: String) throws {
    let network = try RecordedNetwork()
    let built =
      name == "mesh definition"
      ? MeshDefinition.mesh(of: network.anchor) : MeshDefinition.keyDelivery(of: network.anchor)
    let configure = try network.definition(name)
    #expect(built.json == configure.message.descriptor["definition"])
    #expect(try MeshDefinition(configure) == built)
    #expect(built.envelope == .jwe)
  }

  @Test("every path has the anchor's key, and the definition itself has none")
  func keyPerPath() {
    let mesh = MeshDefinition.mesh(of: anchor)
    #expect(mesh.protocolURI == MeshProtocol.uri)
    #expect(Set(mesh.typeKeys.keys) == Set(MeshProtocol.paths))
    #expect(mesh.json["$encryption"] == nil)
    for path in MeshProtocol.paths {
      #expect(mesh.typeKeys[path] == KeyTree(anchor).typeKey(protocolURI: MeshProtocol.uri, path: path).publicKey)
    }
    let delivery = MeshDefinition.keyDelivery(of: anchor)
    #expect(delivery.protocolURI == KeyDeliveryProtocol.uri)
    #expect(Array(delivery.typeKeys.keys) == [KeyDeliveryProtocol.contextKey])
  }

  @Test("schemas and secrecy are those of the definition")
  func namesAgree() throws {
    let mesh = MeshDefinition.mesh(of: anchor)
    for path in MeshProtocol.paths {
      let type = try #require(mesh.json["types"]?[path.typeName])
      #expect(MeshProtocol.schema(of: path) == type["schema"]?.string)
      let ruleSet = path.segments.reduce(mesh.json["structure"]) { $0?[$1] }
      let rolesRead = ruleSet?["$actions"]?.array?.contains { $0["role"] == "network/node" } ?? false
      let expected: Secrecy =
        switch (path, type["encryptionRequired"]?.bool ?? false, rolesRead) {
        case (MeshProtocol.member, _, _): .members
        case (_, true, true): .members
        case (_, true, false): .anchor
        default: .clear
        }
      #expect(MeshProtocol.secrecy(of: path) == expected, "\(path)")
    }
    #expect(MeshProtocol.schema(of: "network/other") == nil)
    #expect(MeshProtocol.secrecy(of: "other") == nil)
    #expect(MeshProtocol.nodeInfo(under: MeshProtocol.memberNode) == MeshProtocol.memberNodeInfo)
    #expect(MeshProtocol.endpoint(under: MeshProtocol.node) == MeshProtocol.endpoint)
    #expect(MeshProtocol.endpoint(under: MeshProtocol.relay) == nil)
  }

  @Test("sizes are those of the definition, else the default")
  func sizes() {
    let mesh = MeshDefinition.mesh(of: anchor)
    #expect(mesh.sizeLimit(at: MeshProtocol.head) == 1000)
    #expect(mesh.sizeLimit(at: MeshProtocol.aclPolicy) == 100_000)
    #expect(mesh.sizeLimit(at: MeshProtocol.relay) == 2000)
    #expect(mesh.sizeLimit(at: MeshProtocol.memberEndpoint) == 2000)
    #expect(mesh.sizeLimit(at: MeshProtocol.member) == 10_000)
    #expect(mesh.sizeLimit(at: MeshProtocol.network) == 10_000)
  }

  @Test("$keyAgreement anywhere makes it a v1 definition, also beside $encryption")
  func v1() throws {
    let jwe = MeshDefinition.mesh(of: anchor).json
    var top = try #require(jwe.object)
    top["$keyAgreement"] = ["publicKeyJwk": ["kty": "OKP"]]
    #expect(try MeshDefinition(.object(top), anchor: anchor.did).envelope == .v1)
    let nested: JSONValue = [
      "protocol": "https://example.com/p",
      "structure": ["a": ["b": ["$keyAgreement": ["publicKeyJwk": ["kty": "OKP"]]]]],
    ]
    #expect(try MeshDefinition(nested, anchor: anchor.did).envelope == .v1)
  }

  @Test(
    "a definition without usable keys is refused",
    arguments: [
      #"{"protocol":"https://example.com/p","structure":{"a":{}}}"#,
      #"{"protocol":"https://example.com/p"}"#,
      #"{"structure":{"a":{}}}"#,
      #"{"protocol":"https://example.com/p","structure":{"a":{"$encryption":{"rootKeyId":"did:example:other#1"}}}}"#,
      #"{"protocol":"https://example.com/p","structure":{"a":{"$encryption":{"rootKeyId":"did:example:anchor#1"}}}}"#,
      #"{"protocol":"https://example.com/p","structure":{"a":{"$encryption":{"rootKeyId":"did:example:anchor#1","publicKeyJwk":{"kty":"OKP","crv":"X25519","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}}}}}"#,
      #"{"protocol":"https://example.com/p","structure":{"a":3}}"#,
      #"{"protocol":"https://example.com/p","structure":{"a":{"$keyAgreement":{},"$size":{"max":-1}}}}"#,
      #"[]"#,
    ])
  func unusable(text: String) throws {
    let anchor = try #require(DID("did:example:anchor"))
    #expect(throws: MeshError.self) { try MeshDefinition(JSONValue(parsing: text), anchor: anchor) }
  }
}
