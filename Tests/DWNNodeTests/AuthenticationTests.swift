import DWN
import Identity
import Synchronization
import TestSupport
import Testing
import Wire

@testable import DWNNode

/// When a node asks who signed, and what it says before that (dwn-server 2, 3.2).
@Suite(.timeLimit(.minutes(10)))
struct AuthenticationTests {
  let tenancy: TestTenancy
  static let unsigned = "401 GeneralJwsVerifierInvalidSignature"

  init() async throws {
    tenancy = try TestTenancy()
    let reply = try await tenancy.install(
      """
      {"box": {"$actions": [{"who": "anyone", "can": ["create"]}, {"who": "author", "of": "box", "can": ["create", "update"]}],
         "item": {"$actions": [{"who": "anyone", "can": ["create"]}]}}, "closed": {}}
      """)
    #expect(reply.status.code == 202)
  }

  /// The message with a signature that is none.
  private func broken(_ message: SignedMessage) -> JSONValue {
    var json = message.message.json
    var authorization = json["authorization"]?.object ?? [:]
    var jws = authorization["signature"]?.object ?? [:]
    var signature = jws["signatures"]?.array?.first?.object ?? [:]
    signature["signature"] = .string(Base64.encode([UInt8](repeating: 1, count: 64)))
    jws["signatures"] = [.object(signature)]
    authorization["signature"] = .object(jws)
    json["authorization"] = .object(authorization)
    return .object(json)
  }

  private func status(
    _ draft: RecordDraft, at time: WallTime? = nil, data: [UInt8]? = nil
  ) async throws -> String {
    let write = tenancy.bob.signer.recordsWrite(draft, at: time ?? tenancy.tick())
    return try await tenancy.status(broken(write.signed), data: data ?? draft.data)
  }

  @Test("what is wrong with a write by what is stored comes before its signature, and its signature before all else")
  func writes() async throws {
    let draft = tenancy.draft("box")
    #expect(try await status(draft) == Self.unsigned)
    #expect(try await status(draft, data: [1, 2, 3]) == Self.unsigned)
    #expect(try await status(tenancy.draft("closed")) == Self.unsigned)
    #expect(try await status(tenancy.draft("other")) == "400 ProtocolAuthorizationInvalidType")
    var foreign = draft
    foreign.protocolURI = "https://example.org/nowhere"
    #expect(try await status(foreign) == "400 ProtocolAuthorizationProtocolNotFound")

    let known = try await tenancy.write(tenancy.bob, "box")
    #expect(try await tenancy.status(known.signed, data: [9]) == "409")
    #expect(try await tenancy.status(broken(known.signed), data: Array("{}".utf8)) == "409")
    let update = RecordDraft(updating: known, data: Array("2".utf8))
    #expect(try await status(update, at: tenancy.tick()) == Self.unsigned)
    let absent = tenancy.bob.signer.recordsWrite(draft, at: tenancy.tick())
    #expect(
      try await status(RecordDraft(updating: absent, data: [1]), at: tenancy.tick())
        == "400 RecordsWriteGetInitialWriteNotFound")
    #expect(
      try await status(tenancy.draft("box/item", below: absent)) == "400 ProtocolAuthorizationParentRecordNotFound")
    #expect(try await tenancy.query(tenancy.alice, RecordsFilter(protocolURI: TestTenancy.protocolURI)).count == 1)
  }

  @Test("data that does not match is told of after everything else")
  func dataComesLast() async throws {
    func attempt(_ draft: RecordDraft, by person: Person, data: [UInt8]) async throws -> String {
      try await tenancy.status(person.signer.recordsWrite(draft, at: tenancy.tick()).signed, data: data)
    }
    #expect(try await attempt(tenancy.draft("box"), by: tenancy.bob, data: [1]) == "400 RecordsWriteDataSizeMismatch")
    #expect(
      try await attempt(tenancy.draft("box"), by: tenancy.bob, data: [1, 2]) == "400 RecordsWriteDataCidMismatch")
    #expect(
      try await attempt(tenancy.draft("closed"), by: tenancy.bob, data: [1])
        == "401 ProtocolAuthorizationActionRulesNotFound")
    let record = try await tenancy.write(tenancy.alice, "closed")
    let end = tenancy.alice.signer.recordsDelete(record.recordID, prune: false, at: tenancy.tick())
    #expect(try await tenancy.status(end) == "202")
    let late = RecordDraft(updating: record, data: [1])
    #expect(try await attempt(late, by: tenancy.alice, data: [2]) == "400 RecordsWriteNotAllowedAfterDelete")
  }

  @Test("what is wrong with a definition or a request by itself comes before its signature; what is stored comes after")
  func others() async throws {
    let definition = try tenancy.definition(#"{"a": {"$actions": [{"role": "b", "can": ["read"]}]}}"#)
    let configure = tenancy.alice.signer.protocolsConfigure(definition, at: tenancy.tick())
    #expect(try await tenancy.status(broken(configure)) == "400 ProtocolsConfigureRoleDoesNotExistAtGivenPath")
    let delete = tenancy.alice.signer.recordsDelete(
      try #require(RecordID("bafynone")), prune: false, at: tenancy.tick())
    #expect(try await tenancy.status(delete) == "404")
    #expect(try await tenancy.status(broken(delete)) == Self.unsigned)
    let uri = TestTenancy.protocolURI
    let nested = tenancy.bob.signer.recordsQuery(RecordsFilter(protocolURI: uri, path: "box/item"), at: tenancy.tick())
    #expect(try await tenancy.status(broken(nested)) == "400 RecordsQueryNestedProtocolPathContextIdInvalid")
    let role = tenancy.bob.signer.recordsQuery(RecordsFilter(protocolURI: uri), at: tenancy.tick(), role: "box")
    #expect(try await tenancy.status(broken(role)) == "400 RecordsQueryFilterMissingRequiredProperties")
    for message in [
      tenancy.bob.signer.recordsQuery(RecordsFilter(protocolURI: uri), at: tenancy.tick()),
      tenancy.bob.signer.recordsCount(RecordsFilter(protocolURI: uri), at: tenancy.tick()),
      tenancy.bob.signer.recordsRead(RecordsFilter(protocolURI: uri), at: tenancy.tick()),
      tenancy.bob.signer.protocolsQuery(protocolURI: nil, at: tenancy.tick()),
    ] {
      #expect(try await tenancy.status(broken(message)) == Self.unsigned)
    }
  }

  /// Knows one DID of the web, whose document comes when the test lets it.
  private final class SlowDirectory: DIDDirectory {
    private struct State {
      var isOpen = false
      var waiting: [CheckedContinuation<Void, Never>] = []
      var asked = 0
    }
    private let known: DIDDocument
    private let state = Mutex(State())

    init(_ known: DIDDocument) { self.known = known }

    var asked: Int { state.withLock(\.asked) }

    func open() {
      let waiting = state.withLock { state in
        state.isOpen = true
        return state.waiting
      }
      for continuation in waiting { continuation.resume() }
    }

    func document(of did: DID) async throws(DIDError) -> DIDDocument {
      await withCheckedContinuation { continuation in
        let isOpen = state.withLock { state in
          state.asked += 1
          if !state.isOpen { state.waiting.append(continuation) }
          return state.isOpen
        }
        if isOpen { continuation.resume() }
      }
      guard did == known.id else { throw .unsupportedMethod(String(did.method)) }
      return known
    }
  }

  @Test("while a signer's keys are fetched, everybody else is served")
  func fetching() async throws {
    let carol = tenancy.carol.signer.identity
    let web = try #require(DID("did:web:example.org"))
    let directory = SlowDirectory(
      DIDDocument(
        id: web,
        verificationMethods: [
          .init(id: web.text + "#0", publicKeyJWK: carol.signingKey.publicJWK.json)
        ], authentication: [web.text + "#0"], keyAgreement: []))
    let tenancy = try TestTenancy(directory: directory)
    #expect(
      try await tenancy.install(#"{"box": {"$actions": [{"who": "anyone", "can": ["create"]}]}}"#).status.code == 202)

    // What Carol signs as the DID of her web site.
    let draft = tenancy.draft("box")
    let own = tenancy.carol.signer.recordsWrite(draft, at: tenancy.tick())
    let id = RecordsWrite.entryID(of: own.message.descriptor, author: web)
    var json = own.message.json
    json["recordId"] = .string(id.text)
    json["contextId"] = .string(id.text)
    let payload: JSONValue = [
      "descriptorCid": .string(own.message.descriptorCID.text), "recordId": .string(id.text),
      "contextId": .string(id.text),
    ]
    json["authorization"] = [
      "signature": GeneralJWS.sign(payload.encoded, key: carol.signingKey, kid: web.text + "#0").json
    ]
    async let slow = tenancy.status(.object(json), data: draft.data)
    while directory.asked == 0 { await Task.yield() }
    _ = try await tenancy.write(tenancy.bob, "box")
    #expect(try await tenancy.query(tenancy.alice, RecordsFilter(protocolURI: TestTenancy.protocolURI)).count == 1)
    directory.open()
    #expect(try await slow == "202")
    #expect(try await tenancy.query(tenancy.alice, RecordsFilter(protocolURI: TestTenancy.protocolURI)).count == 2)
  }

  @Test("a signer whose keys cannot be found is not authenticated")
  func unknownSigner() async throws {
    let draft = tenancy.draft("box")
    let own = tenancy.carol.signer.recordsWrite(draft, at: tenancy.tick())
    let web = try #require(DID("did:web:example.org"))
    let id = RecordsWrite.entryID(of: own.message.descriptor, author: web)
    var json = own.message.json
    json["recordId"] = .string(id.text)
    json["contextId"] = .string(id.text)
    let payload: JSONValue = [
      "descriptorCid": .string(own.message.descriptorCID.text), "recordId": .string(id.text),
      "contextId": .string(id.text),
    ]
    let key = tenancy.carol.signer.identity.signingKey
    json["authorization"] = ["signature": GeneralJWS.sign(payload.encoded, key: key, kid: web.text + "#0").json]
    #expect(
      try await tenancy.status(.object(json), data: draft.data) == "401 GeneralJwsVerifierGetPublicKeyNotFound")
  }
}
