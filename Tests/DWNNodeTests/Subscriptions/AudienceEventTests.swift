import Cryptography
import DWN
import Identity
import TestSupport
import Testing
import Wire

@testable import DWNNode

/// Following the keys of audiences (dwn-server 9.3, 10.4).
@Suite(.timeLimit(.minutes(10)))
struct AudienceEventTests {
  /// Of every path.
  private static let pathKey = X25519PrivateKey(random: SeededRandom(1))

  /// A definition by which the recipient of a room creates its guests, and its members where `members` says so.
  private func install(in tenancy: TestTenancy, members: Bool) async throws {
    let agreement: JSONObject = ["publicKeyJwk": PublicJWK.x25519(Self.pathKey.publicKey).json]
    let key = "\"$keyAgreement\": \(JSONValue.object(agreement).text)"
    let actions = #", "$actions": [{"who": "recipient", "of": "room", "can": ["create"]}]"#
    var definition =
      try tenancy.definition(
        """
        {"room": {\(key),
          "member": {\(key), "$role": true\(members ? actions : "")}, "guest": {\(key), "$role": true\(actions)}}}
        """
      ).object ?? [:]
    definition["$keyAgreement"] = .object(agreement)
    let configure = tenancy.alice.signer.protocolsConfigure(.object(definition), at: tenancy.tick())
    #expect(try await tenancy.status(configure) == "202")
  }

  @Test("who may create a role hears of its keys, for as long as the definition says so when they come")
  func definitions() async throws {
    // The node's clock is ahead of what is signed here: rights are judged by it.
    let tenancy = try TestTenancy(nodeTime: { WallTime(microseconds: 1_800_000_600_000_000) })
    try await install(in: tenancy, members: true)
    let follower = try await tenancy.subscribe(
      tenancy.bob, RecordsFilter(protocolURI: TestTenancy.protocolURI, path: EncryptionControl.audience))
    let random = SeededRandom(7)
    func mint(_ role: ProtocolPath) async throws {
      let room = try await tenancy.write(tenancy.alice, "room", to: tenancy.bob)
      let name = try #require(
        AudienceName(protocolURI: TestTenancy.protocolURI, rolePath: role, contextID: room.contextID))
      let record = try AudienceRecord.mint(name, roleKey: Self.pathKey.publicKey, random: random).record
      #expect(try await tenancy.attempt(tenancy.alice, record.draft) == "202")
    }
    func nextRole() async throws -> JSONValue? {
      try await follower.event().entry.message["descriptor"]?["tags"]?["rolePath"]
    }
    try await mint("room/member")
    #expect(try await nextRole() == "room/member")
    try await install(in: tenancy, members: false)
    try await mint("room/member")
    try await mint("room/guest")
    #expect(try await nextRole() == "room/guest")
  }
}
