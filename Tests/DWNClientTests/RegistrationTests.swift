import Cryptography
import DWN
import Identity
import TestSupport
import Testing
import Wire

@testable import DWNClient

@Suite("Becoming a tenant", .timeLimit(.minutes(10)))
struct RegistrationTests {
  static let did = DID("did:example:alice")!
  /// One in 256 hashes will do.
  static let challenge: JSONValue = [
    "challengeNonce": "a-challenge", "maximumAllowedHashValue": .string("00" + String(repeating: "ff", count: 31)),
  ]

  private static func info(_ requirements: String...) -> ScriptedNode.Step {
    let json: JSONValue = ["registrationRequirements": .array(requirements.map { .string($0) })]
    return .body(200, String(decoding: json.encoded, as: UTF8.self))
  }

  private static func body(_ json: JSONValue) -> ScriptedNode.Step {
    .body(200, String(decoding: json.encoded, as: UTF8.self))
  }

  private func register(
    _ script: [ScriptedNode.Step], acceptsTerms: Bool = false, patience: Duration = .seconds(60)
  ) async throws -> (ScriptedNode, Result<Void, RegistrationError>, name: String) {
    let node = try await ScriptedNode.start(script)
    let endpoint = HTTPEndpoint(try node.url)
    var result: Result<Void, RegistrationError> = .success(())
    do {
      try await endpoint.register(Self.did, acceptsTerms: acceptsTerms, patience: patience)
    } catch {
      result = .failure(error)
    }
    await endpoint.shutdown()
    try await node.stop()
    return (node, result, endpoint.name)
  }

  private func failure(_ result: Result<Void, RegistrationError>) -> RegistrationError? {
    if case .failure(let error) = result { error } else { nil }
  }

  @Test("where nothing is asked for, nothing is sent")
  func open() async throws {
    let (node, result, _) = try await register([Self.info()])
    #expect(failure(result) == nil)
    #expect(node.requests.map(\.line) == ["GET /info"])
  }

  @Test("a proof of work is found, and its hash is over the texts of challenge, response and what is registered")
  func work() async throws {
    let (node, result, _) = try await register([
      Self.info("proof-of-work-sha256-v0"), Self.body(Self.challenge), Self.body(["success": true]),
    ])
    #expect(failure(result) == nil)
    #expect(node.requests.map(\.line) == ["GET /info", "GET /registration/proof-of-work", "POST /registration"])
    let sent = try JSONValue(parsing: try #require(node.requests.last).body)
    #expect(sent["registrationData"] == ["did": .string(Self.did.text)])
    #expect(sent["proofOfWork"]?["challengeNonce"] == "a-challenge")
    let response = try #require(sent["proofOfWork"]?["responseNonce"]?.string)
    #expect(response.utf8.count == 64 && Hex.decode(response) != nil)
    let data = try #require(sent["registrationData"]).encoded
    let hash = SHA2.sha256(Array("a-challenge".utf8) + Array(response.utf8) + data)
    #expect(hash[0] == 0)
  }

  @Test("terms are agreed to by the hash of their text, and only by whoever says so")
  func terms() async throws {
    let text = "Be kind."
    let script = [
      Self.info("terms-of-service", "proof-of-work-sha256-v0"), .body(200, text), Self.body(Self.challenge),
      Self.body(["success": true]),
    ]
    let (refused, result, name) = try await register(script)
    #expect(failure(result) == .termsNotAccepted(name: name))
    #expect(refused.requests.count == 2)
    let (node, agreed, _) = try await register(script, acceptsTerms: true)
    #expect(failure(agreed) == nil)
    let sent = try JSONValue(parsing: try #require(node.requests.last).body)
    #expect(
      sent["registrationData"]?["termsOfServiceHash"] == .string(Hex.encode(SHA2.sha256(Array(text.utf8)))))
  }

  @Test("a challenge that grew old is replaced; a DID that is a tenant already is one")
  func again() async throws {
    let expired = ScriptedNode.Step.body(
      400, #"{"code":"ProofOfWorkInvalidOrExpiredChallenge","message":"too old"}"#)
    let (node, result, _) = try await register([
      Self.info("proof-of-work-sha256-v0"), Self.body(Self.challenge), expired, Self.body(Self.challenge),
      .body(400, #"{"code":"Tenant","message":"is already registered"}"#),
    ])
    #expect(failure(result) == nil)
    #expect(node.requests.count == 5)
    let (endless, refused, name) = try await register(
      [Self.info("proof-of-work-sha256-v0")] + (0..<9).flatMap { _ in [Self.body(Self.challenge), expired] })
    #expect(
      failure(refused) == .refused(name: name, reason: "ProofOfWorkInvalidOrExpiredChallenge: too old"))
    #expect(endless.requests.count == 7)
  }

  @Test("work without end is given up when its time is over, or when nobody waits for it any more")
  func endless() async throws {
    let impossible: JSONValue = [
      "challengeNonce": "c", "maximumAllowedHashValue": .string(String(repeating: "0", count: 64)),
    ]
    let script = [Self.info("proof-of-work-sha256-v0"), Self.body(impossible)]
    let (_, result, name) = try await register(script, patience: .milliseconds(50))
    #expect(failure(result) == .workNotDone(name: name, seconds: 0))
    let node = try await ScriptedNode.start(script)
    let endpoint = HTTPEndpoint(try node.url)
    let task = Task { try await endpoint.register(Self.did, acceptsTerms: false, patience: .seconds(3600)) }
    try await node.waitForRequests(2)
    task.cancel()
    await #expect(throws: RegistrationError.self) { try await task.value }
    await endpoint.shutdown()
    try await node.stop()
  }

  @Test("what only an account can give, and what nobody knows, is said to be so")
  func unsupported() async throws {
    for (text, requirement) in [
      ("provider-auth-v0", NodeInformation.Requirement.providerAuthorization), ("a-fee", .unknown("a-fee")),
    ] {
      let (node, result, name) = try await register([Self.info("proof-of-work-sha256-v0", text)])
      #expect(failure(result) == .unsupported(name: name, requirement))
      #expect(node.requests.count == 1)
    }
  }

  /// A node that asks for the authorization of a provider elsewhere, and the provider.
  private func authorized(
    by script: [ScriptedNode.Step],
    _ change: (String) -> JSONValue = { url in
      ["authorizeUrl": .string(url + "/authorize?client=7"), "tokenUrl": .string(url + "/token")]
    }
  ) async throws -> (node: ScriptedNode, provider: ScriptedNode, RegistrationError?) {
    let provider = try await ScriptedNode.start(script)
    let information: JSONValue = [
      "registrationRequirements": ["provider-auth-v0", "proof-of-work-sha256-v0"],
      "providerAuth": change(try provider.url.text),
    ]
    let (node, result, _) = try await register([Self.body(information), Self.body(["success": true])])
    try await provider.stop()
    return (node, provider, failure(result))
  }

  @Test("a provider gives a code and for it a token, with which the node is content; no work is done then")
  func provider() async throws {
    let (node, provider, error) = try await authorized(by: [
      .code("c0de"), Self.body(["registrationToken": "t0ken", "tokenType": "bearer"]),
    ])
    #expect(error == nil)
    let lines = provider.requests.map(\.line)
    #expect(lines.count == 2 && lines[1] == "POST /token")
    #expect(
      lines[0].hasPrefix("GET /authorize?client=7&redirect_uri=urn:ietf:wg:oauth:2.0:oob&state=")
        || lines[0].hasPrefix("GET /authorize?client=7&redirect_uri=urn%3Aietf%3Awg%3Aoauth%3A2.0%3Aoob&state="))
    #expect(
      try JSONValue(parsing: try #require(provider.requests.last).body) == ["code": "c0de", "redirectUri": "urn:back"])
    #expect(node.requests.map(\.line) == ["GET /info", "POST /registration"])
    #expect(
      try JSONValue(parsing: try #require(node.requests.last).body) == [
        "providerAuth": ["registrationToken": "t0ken"], "registrationData": ["did": .string(Self.did.text)],
      ])
  }

  @Test(
    "a provider that wants to see a person, answers for another request, or gives no token, ends the registration",
    arguments: [
      [.body(200, "<html>Please log in</html>")], [.body(200, #"{"code":"c","state":"other"}"#)],
      [.code("c"), .body(200, "{}")], [.code("c"), .status(403)], [],
    ] as [[ScriptedNode.Step]])
  func refusedByProvider(script: [ScriptedNode.Step]) async throws {
    let (node, _, error) = try await authorized(by: script)
    guard case .refused(_, let reason) = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(reason.hasPrefix("its provider gives no authorization: "))
    #expect(node.requests.map(\.line) == ["GET /info"])
  }

  @Test("URLs of a provider that are none are not asked")
  func noURLs() async throws {
    for text in ["", "ftp://x.example/", "http://u:p@x.example/", "http://x.example/#a", "nonsense"] {
      let (node, _, error) = try await authorized(by: []) { _ in
        ["authorizeUrl": .string(text), "tokenUrl": "http://x.example/"]
      }
      guard case .refused = error else {
        Issue.record("\(text): \(String(describing: error))")
        return
      }
      #expect(node.requests.count == 1)
    }
  }

  @Test("a challenge that is none is refused", arguments: [#"{}"#, #"{"challengeNonce":"c"}"#, "nonsense"])
  func nonsense(text: String) async throws {
    let (_, result, name) = try await register([Self.info("proof-of-work-sha256-v0"), .body(200, text)])
    #expect(failure(result) == .refused(name: name, reason: "it gives no challenge (HTTP status 200)"))
  }
}
