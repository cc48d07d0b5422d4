import Cryptography
import DWN
import Identity
import Mesh
import TestSupport
import Testing
import Wire

@Suite("Invitations")
struct InviteTests {
  static let vectors = "mesh/invites.json"
  static let statements = "mesh/statements.json"

  @Test(
    "are read as upstream reads them, and refused where it refuses them",
    .enabled(if: Fixtures.have(vectors), Comment(rawValue: Fixtures.skipped)))
  func decoding() throws {
    let cases = try #require(try Fixtures.json(Self.vectors)["decode"]?.array)
    for vector in cases {
      let name = Comment(rawValue: vector["case"]?.string ?? "?")
      let invite = Invite(try #require(vector["input"]?.string))
      guard vector["ok"]?.bool == true else {
        #expect(invite == nil, name)
        continue
      }
      let payload = try #require(vector["payload"])
      #expect(invite?.endpoint == payload["endpoint"]?.string, name)
      #expect(invite?.anchor.text == payload["anchorDid"]?.string, name)
      #expect(invite?.networkID.text == payload["networkId"]?.string, name)
      #expect(invite?.token?.id == payload["tokenId"]?.string, name)
      #expect(invite?.token?.secret == payload["secret"]?.string, name)
    }
    #expect(cases.count > 5)
  }

  @Test("half a token, an expiry that is no time, and another version are refused")
  func refused() {
    func read(_ json: String) -> Invite? { Invite(Invite.prefix + Base64.encode(Array(json.utf8))) }
    let rest = #""endpoint":"http://a","anchorDid":"did:example:a","networkId":"bafynet""#
    #expect(read("{\"version\":1,\(rest)}") != nil)
    #expect(read("{\"version\":2,\(rest)}") == nil)
    #expect(read("{\"version\":1,\(rest),\"tokenId\":\"bafyid\"}") == nil)
    #expect(read("{\"version\":1,\(rest),\"secret\":\"s\"}") == nil)
    #expect(read("{\"version\":1,\(rest),\"expiresAt\":\"soon\"}") == nil)
    let old = read("{\"version\":1,\(rest),\"expiresAt\":\"2026-07-12T10:00:00Z\"}")
    #expect(old?.hasExpired(at: WallTime(seconds: 1_800_000_000)) == true)
    #expect(old.map { "\($0)" } == "invitation into bafynet")
    #expect(Invite(String(repeating: "A", count: 10_000)) == nil)
  }

  @Test(
    "a request to be admitted is the one that upstream writes, with both proofs",
    .enabled(if: Fixtures.have(statements) && Fixtures.have(vectors), Comment(rawValue: Fixtures.skipped)))
  func request() throws {
    let expected = try #require(try Fixtures.json(Self.statements)["requestPayloads"]?["networkPreAuthSelfOwned"])
    let proofs = try #require(try Fixtures.json(Self.vectors)["proofs"]?.array)
    let secret = try #require(
      proofs.first { $0["proof"] == expected["preAuthProof"] }?["secret"]?.string)
    let identity = try #require(MachineIdentity(seed: SecretBytes(SHA2.sha256(Array("meshd-fixture:node-a".utf8)))))
    #expect(identity.did.text == expected["nodeDID"]?.string)
    let network = NetworkReference(
      id: try #require(expected["networkRecordId"]?.string.flatMap { NetworkID($0) }), anchor: identity.did,
      envelope: .v1)
    let json: JSONValue = [
      "version": 1, "endpoint": "http://a", "anchorDid": .string(identity.did.text),
      "networkId": .string(network.id.text), "networkName": "my-network", "tokenId": "bafyreitokenid",
      "secret": .string(secret),
    ]
    let invite = try #require(Invite(Base64.encode(json.encoded)))
    let request = JoinRequest(
      network: network, networkName: invite.networkName, token: try #require(invite.token), identity: identity,
      label: "laptop", requestedAt: try #require(WallTime(rfc3339: "2026-07-11T12:00:00.4Z")))
    #expect(request.json == expected)
  }
}
