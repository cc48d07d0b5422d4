import DWNClient
import Testing
import Wire

@Suite("What a node says of itself")
struct NodeInformationTests {
  @Test("limits, transports and what a tenant has to do are read")
  func complete() throws {
    let information = try #require(
      NodeInformation([
        "server": "dwn", "version": "1.2", "maxFileSize": 1000, "webSocketSupport": true,
        "registrationRequirements": ["proof-of-work-sha256-v0", "terms-of-service", "provider-auth-v0", "tea"],
        "httpRpcFraming": ["body-v1"],
      ]))
    #expect(information.largestData == 1000)
    #expect(information.hasWebSocket && information.takesWholeBodies)
    #expect(information.registration == [.proofOfWork, .termsOfService, .providerAuthorization, .unknown("tea")])
  }

  @Test(
    "what is missing, or of another type, is as if not said",
    arguments: [
      [:],
      [
        "server": 1, "maxFileSize": -1, "webSocketSupport": "yes", "registrationRequirements": "none",
        "httpRpcFraming": [1],
      ],
    ] as [JSONValue])
  func nothing(json: JSONValue) throws {
    let information = try #require(NodeInformation(json))
    #expect(information.server == nil && information.largestData == nil)
    #expect(!information.hasWebSocket && !information.takesWholeBodies)
    #expect(information.registration == [])
  }

  @Test("an answer that is no object says nothing", arguments: [[], "x", .null] as [JSONValue])
  func noObject(json: JSONValue) {
    #expect(NodeInformation(json) == nil)
  }

  @Test("texts and lists of a stranger are cut")
  func bounded() throws {
    let long = String(repeating: "x", count: 5000)
    let many = JSONValue.array(Array(repeating: .string(long), count: 1000))
    let information = try #require(NodeInformation(["server": .string(long), "registrationRequirements": many]))
    #expect(information.server?.utf8.count == 100)
    #expect(information.registration.count == 16)
  }
}
