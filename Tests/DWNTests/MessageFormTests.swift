import Cryptography
import DWN
import Identity
import TestSupport
import Testing
import Wire

/// One change of a good message that makes it a bad one.
struct Malformation: CustomTestStringConvertible, Sendable {
  let place: String
  let value: JSONValue?

  var testDescription: String { value.map { "\(place) = \($0.text)" } ?? "no \(place)" }

  init(_ place: String, _ value: JSONValue?) {
    self.place = place
    self.value = value
  }
}

@Suite("The form of messages")
struct MessageFormTests {
  private let workshop = MessageWorkshop()

  private static let shared: [Malformation] = [
    Malformation("descriptor", nil), Malformation("descriptor", "x"), Malformation("descriptor/interface", nil),
    Malformation("descriptor/interface", "Records2"), Malformation("descriptor/interface", 1),
    Malformation("descriptor/method", nil), Malformation("descriptor/method", "Sync"),
    Malformation("descriptor/messageTimestamp", nil), Malformation("descriptor/messageTimestamp", 1),
    Malformation("descriptor/messageTimestamp", "2026-11-21T12:00:00Z"),
    Malformation("descriptor/messageTimestamp", "2026-02-30T12:00:00.000000Z"), Malformation("descriptor/unknown", 1),
    Malformation("descriptor/unknown", .null), Malformation("unknown", 1), Malformation("attestation", [:]),
  ]

  private static let writes: [Malformation] =
    shared + [
      Malformation("recordId", nil), Malformation("contextId", nil), Malformation("authorization", nil),
      Malformation("descriptor/protocol", nil), Malformation("descriptor/protocol", ""),
      Malformation("descriptor/protocol", 1),
      Malformation("descriptor/protocol", "https://example.com/with space"),
      Malformation("descriptor/protocolPath", nil),
      Malformation("descriptor/protocolPath", "a//b"), Malformation("descriptor/protocolPath", "a1"),
      Malformation("descriptor/protocolPath", "$encryption/other"), Malformation("descriptor/dataCid", nil),
      Malformation("descriptor/dataCid", "bafy"), Malformation("descriptor/dataSize", nil),
      Malformation("descriptor/dataSize", -1), Malformation("descriptor/dataSize", "2"),
      Malformation("descriptor/dataSize", .number(1.5)), Malformation("descriptor/dataFormat", nil),
      Malformation("descriptor/dataFormat", ""), Malformation("descriptor/dateCreated", nil),
      Malformation("descriptor/dateCreated", "2026-11-21"), Malformation("descriptor/recipient", "anchor"),
      Malformation("descriptor/recipient", .null), Malformation("descriptor/schema", 1),
      Malformation("descriptor/schema", ""),
      Malformation("descriptor/tags", [:]), Malformation("descriptor/tags", []),
      Malformation("descriptor/tags/x", .null),
      Malformation("descriptor/tags/x", [:]), Malformation("descriptor/tags/x", []),
      Malformation("descriptor/tags/x", ["a", 1]),
      Malformation("descriptor/tags/x", [true]),
      Malformation("descriptor/tags/x", .array(Array(repeating: 1, count: 11))),
      Malformation("descriptor/tags", .object(JSONObject((0..<11).map { ("t\($0)", 1) }))),
      Malformation("descriptor/parentId", "a/b"), Malformation("descriptor/parentId", .null),
      Malformation("descriptor/published", "true"), Malformation("descriptor/datePublished", "now"),
      Malformation("descriptor/squash", false), Malformation("descriptor/squash", "true"),
      Malformation("descriptor/permissionGrantId", "x/y"), Malformation("descriptor/filter", [:]),
    ]

  @Test("a malformed write is refused", arguments: writes)
  func write(change: Malformation) {
    let message = workshop.write.message.value
    #expect(throws: Never.self) { try workshop.check(message) }
    let error = #expect(throws: DWNError.self) {
      try Message(workshop.changing(message, change.place, to: change.value))
    }
    #expect(error?.status == 400)
  }

  private static let deletes: [Malformation] =
    shared + [
      Malformation("authorization", nil), Malformation("recordId", "x"), Malformation("contextId", "x"),
      Malformation("encryption", [:]), Malformation("descriptor/recordId", nil),
      Malformation("descriptor/recordId", "a/b"),
      Malformation("descriptor/prune", nil), Malformation("descriptor/prune", 1),
    ]

  @Test("a malformed delete is refused", arguments: deletes)
  func delete(change: Malformation) throws {
    let message = workshop.signer.recordsDelete(workshop.write.recordID, prune: true, at: workshop.time).message.value
    #expect(throws: DWNError.self) { try Message(workshop.changing(message, change.place, to: change.value)) }
  }

  private static let queries: [Malformation] =
    shared + [
      Malformation("recordId", "x"), Malformation("descriptor/filter", nil), Malformation("descriptor/filter", []),
      Malformation("descriptor/dateSort", "random"), Malformation("descriptor/pagination", 1),
      Malformation("descriptor/cursor", [:]),
    ]

  @Test("a malformed query is refused", arguments: queries)
  func query(change: Malformation) throws {
    let message = workshop.signer.recordsQuery(
      RecordsFilter(protocolURI: "https://example.com/notes"), sort: .createdAscending,
      pagination: Pagination(limit: 1),
      at: workshop.time
    ).message.value
    #expect(throws: DWNError.self) { try Message(workshop.changing(message, change.place, to: change.value)) }
  }

  @Test(
    "a malformed read, configure or protocols query is refused",
    arguments: [
      Malformation("descriptor/filter", 1), Malformation("descriptor/definition", "x"), Malformation("recordId", "x"),
    ]
      + shared)
  func others(change: Malformation) throws {
    let signer = workshop.signer
    for message in [
      signer.recordsRead(RecordsFilter(protocolURI: "https://example.com/notes"), at: workshop.time),
      signer.protocolsConfigure([:], at: workshop.time),
      signer.protocolsQuery(protocolURI: "https://e.x/y", at: workshop.time),
    ] {
      #expect(throws: DWNError.self) {
        try Message(workshop.changing(message.message.value, change.place, to: change.value))
      }
    }
  }

  @Test("a message from a stranger is bounded in size and depth before it is looked at")
  func bounds() throws {
    let good = workshop.write.message.value
    #expect(try Message(parsing: good.encoded).value == good)
    let long = workshop.changing(
      good, "descriptor/tags/x", to: .string(String(repeating: "x", count: Message.maximumSize)))
    #expect(throws: DWNError.self) { try Message(parsing: long.encoded) }
    let deep = String(repeating: #"{"a":"#, count: 25) + "1" + String(repeating: "}", count: 25)
    let text = #"{"descriptor":{"interface":"Records","method":"Read","messageTimestamp":"x","filter":\#(deep)}}"#
    #expect(throws: DWNError.self) { try Message(parsing: Array(text.utf8)) }
    #expect(throws: DWNError.self) { try Message(parsing: [0xff]) }
    #expect(throws: DWNError.self) { try Message(["an", "array"]) }
  }

  @Test("encodedData belongs to replies and does not count")
  func encodedData() throws {
    let write = workshop.write
    let message = try Message(workshop.changing(write.message.value, "encodedData", to: "aGVsbG8"))
    #expect(message == write.message)
    #expect(message.cid == write.cid)
  }

  @Test("of two messages the later is newer, and of two at one time the one with the greater CID")
  func newer() throws {
    let one = workshop.signer.recordsDelete(workshop.write.recordID, prune: true, at: workshop.time).message
    let other = workshop.signer.recordsDelete(workshop.write.recordID, prune: false, at: workshop.time).message
    let later = workshop.signer.recordsDelete(
      workshop.write.recordID, prune: false, at: workshop.time + .microseconds(1)
    ).message
    #expect(later.isNewer(than: one) && !one.isNewer(than: later))
    #expect(one.isNewer(than: other) == (one.cid > other.cid))
    #expect(one.isNewer(than: other) != other.isNewer(than: one))
    #expect(!one.isNewer(than: one))
  }
}

@Suite("What a message proves by itself")
struct SignedMessageTests {
  private let workshop = MessageWorkshop()

  private func code(_ json: JSONValue) -> String {
    do {
      _ = try workshop.check(json)
      return "accepted"
    } catch {
      return error.code
    }
  }

  @Test("a good message is accepted, and one that is signed anew too")
  func good() {
    let message = workshop.write.message.value
    #expect(code(message) == "accepted")
    #expect(code(workshop.signing(message)) == "accepted")
  }

  @Test(
    "a member that is changed without signing again is noticed",
    arguments: [
      ("recordId", "bafyother", "RecordsWriteValidateIntegrityRecordIdUnauthorized"),
      ("contextId", "bafyother", "RecordsWriteValidateIntegrityContextIdNotInSignerSignaturePayload"),
      ("encryption", ["recipients": ["thing"]], "RecordsWriteValidateIntegrityEncryptionCidMismatch"),
      ("encryption", nil, "RecordsWriteValidateIntegrityEncryptionCidMismatch"),
      ("encryption", "text", "SchemaValidatorFailure"),
      ("descriptor/tags/kind", "other", "AuthenticateDescriptorCidMismatch"),
      ("descriptor/squash", nil, "AuthenticateDescriptorCidMismatch"), ("authorization", "x", "SchemaValidatorFailure"),
      ("authorization", [:], "AuthenticateJwsMissing"),
      ("authorization/ownerSignature", [:], "SchemaValidatorAdditionalPropertyNotAllowed"),
      ("authorization/authorDelegatedGrant", [:], "SchemaValidatorAdditionalPropertyNotAllowed"),
      ("authorization/signature", "x", "SchemaValidatorFailure"),
      ("authorization/signature/x", 1, "SchemaValidatorFailure"),
      ("authorization/signature/payload", "W10", "JwsDecodePlainObjectPayloadInvalid"),
      ("authorization/signature/signatures/0/header", [:], "SchemaValidatorFailure"),
    ] as [(String, JSONValue?, String)])
  func unsigned(place: String, value: JSONValue?, expected: String) {
    #expect(code(workshop.changing(workshop.write.message.value, place, to: value)) == expected)
  }

  @Test(
    "a payload that signs something else is refused",
    arguments: [
      ("descriptorCid", "bafyother", "AuthenticateDescriptorCidMismatch"),
      ("descriptorCid", nil, "SchemaValidatorFailure"),
      ("recordId", nil, "SchemaValidatorFailure"),
      ("recordId", "bafyother", "RecordsWriteValidateIntegrityRecordIdUnauthorized"),
      ("contextId", nil, "RecordsWriteValidateIntegrityContextIdNotInSignerSignaturePayload"),
      ("encryptionCid", nil, "RecordsWriteValidateIntegrityEncryptionCidMismatch"),
      ("attestationCid", "x", "RecordsWriteValidateIntegrityAttestationMismatch"),
      ("permissionGrantId", "x", "MessagePermissionGrantDescriptorPayloadMismatch"),
      ("delegatedGrantId", "x", "RecordsAuthorDelegatedGrantAndIdExistenceMismatch"),
      ("protocolRole", 1, "SchemaValidatorFailure"),
      ("unknown", "x", "SchemaValidatorAdditionalPropertyNotAllowed"),
    ] as [(String, JSONValue?, String)])
  func payload(name: String, value: JSONValue?, expected: String) {
    #expect(code(workshop.signing(workshop.write.message.value) { $0[name] = value }) == expected)
  }

  @Test("an encryptionCid without encryption is refused")
  func encryptionRemoved() {
    let json = workshop.signing(workshop.plainWrite.message.value) { $0["encryptionCid"] = .string(CID(of: [:]).text) }
    #expect(code(json) == "RecordsWriteValidateIntegrityEncryptionCidMismatch")
  }

  @Test("the members of a write's payload are not allowed in a delete's")
  func deletePayload() {
    let delete = workshop.signer.recordsDelete(workshop.write.recordID, prune: false, at: workshop.time).message.value
    #expect(code(delete) == "accepted")
    #expect(
      code(workshop.signing(delete) { $0["recordId"] = "bafyother" }) == "SchemaValidatorAdditionalPropertyNotAllowed")
  }

  @Test("a second signature is refused")
  func twoSignatures() throws {
    let message = workshop.write.message.value
    let entry = try #require(message["authorization"]?["signature"]?["signatures"]?.array?.first)
    let json = workshop.changing(message, "authorization/signature/signatures", to: [entry, entry])
    #expect(code(json) == "AuthenticationMoreThanOneSignatureNotSupported")
  }

  @Test("a signature by another key, or over another message, does not verify")
  func foreignSignature() throws {
    let message = workshop.write.message.value
    let other = workshop.plainWrite.message.value
    let place = "authorization/signature/signatures/0/signature"
    let foreign = try #require(other["authorization"]?["signature"]?["signatures"]?.array?.first?["signature"])
    #expect(code(workshop.changing(message, place, to: foreign)) == "GeneralJwsVerifierInvalidSignature")
    #expect(code(workshop.changing(message, place, to: "AA")) == "GeneralJwsVerifierInvalidSignature")
  }

  @Test("two messages that differ in a malleable byte have one element and two CIDs")
  func element() throws {
    let message = workshop.write.message.value
    let header: JSONValue = ["kid": .string(workshop.identity.signingKeyID), "alg": "EdDSA"]
    let payload = try #require(message["authorization"]?["signature"]?["payload"]?.string.flatMap { Base64.decode($0) })
    let twin = GeneralJWS.sign(
      payload, header: header.encoded, key: workshop.identity.signingKey, kid: workshop.identity.signingKeyID)
    let one = try workshop.check(message)
    let other = try workshop.check(workshop.changing(message, "authorization/signature", to: twin.json))
    #expect(one.element == other.element)
    #expect(one.message.cid != other.message.cid)
  }

  @Test("a message without authorization is no signed message, where it may be without")
  func unsignedQuery() throws {
    let query = workshop.signer.recordsQuery(RecordsFilter(protocolURI: "https://example.com/notes"), at: workshop.time)
    let json = workshop.changing(query.message.value, "authorization", to: nil)
    #expect(throws: Never.self) { try Message(json) }
    let error = #expect(throws: DWNError.self) { try workshop.check(json) }
    #expect(error?.status == 401)
  }
}

@Suite("The place of a write in its tree")
struct RecordsWriteTests {
  private let workshop = MessageWorkshop()
  private let parent = ContextID("bafyparent")

  private func code(_ json: JSONValue) -> String {
    do {
      _ = try RecordsWrite(workshop.check(json))
      return "accepted"
    } catch {
      return error.code
    }
  }

  @Test("a write that is built anew from its parts is accepted as the initial one")
  func good() throws {
    #expect(code(try workshop.initialWrite(workshop.write.message.value, parent: parent)) == "accepted")
    #expect(code(try workshop.initialWrite(workshop.plainWrite.message.value)) == "accepted")
  }

  @Test(
    "a descriptor that contradicts itself is refused",
    arguments: [
      ("protocol", "https://Example.com/notes", "UrlProtocolNotNormalized"),
      ("protocol", "https://example.com/notes/", "UrlProtocolNotNormalized"),
      ("protocol", "https://example.com/notes?x", "UrlProtocolNotNormalized"),
      ("protocol", "example.com", "UrlProtocolNotNormalized"),
      ("schema", "https://example.com/#x", "UrlSchemaNotNormalized"),
      ("published", nil, "SchemaValidatorFailure"), ("published", false, "SchemaValidatorFailure"),
      ("datePublished", nil, "SchemaValidatorFailure"),
      ("dateCreated", "2026-11-21T11:00:00.000000Z", "RecordsWriteValidateIntegrityDateCreatedMismatch"),
      ("parentId", nil, "RecordsWriteValidateIntegrityContextIdMismatch"),
      ("parentId", "bafyother", "RecordsWriteValidateIntegrityContextIdMismatch"),
      ("protocolPath", "thread", "RecordsWriteValidateIntegrityContextIdMismatch"),
      ("protocolPath", "a/b/c", "RecordsWriteValidateIntegrityContextIdMismatch"),
      ("protocolPath", "$encryption/audience", "RecordsWriteValidateIntegrityContextIdMismatch"),
    ] as [(String, JSONValue?, String)])
  func descriptor(name: String, value: JSONValue?, expected: String) throws {
    let json = workshop.changing(workshop.write.message.value, "descriptor/" + name, to: value)
    #expect(code(try workshop.initialWrite(json, parent: parent)) == expected)
  }

  @Test("a record whose path has more levels than one, and that names no parent, is told so")
  func parentless() throws {
    let json = workshop.changing(workshop.plainWrite.message.value, "descriptor/protocolPath", to: "a/b")
    #expect(code(try workshop.initialWrite(json)) == "ProtocolAuthorizationParentlessIncorrectProtocolPath")
  }

  @Test(
    "a context that does not end with the record is refused",
    arguments: [
      "bafyparent/bafyother", "bafyparent", "bafyparent/", "bafyparent//%", "é/%", "bafyelse/%", "%",
    ])
  func context(text: String) throws {
    let write = workshop.write
    let context = text.replacing("%", with: write.recordID.text)
    let json = workshop.signing(workshop.changing(write.message.value, "contextId", to: .string(context)))
    #expect(["RecordsWriteValidateIntegrityContextIdMismatch", "SchemaValidatorFailure"].contains(code(json)))
  }

  @Test("a record below others may stand deeper than its path has levels, below another protocol's; a root may not")
  func deeper() throws {
    for (write, context, expected) in [
      (workshop.write, "a/bafyparent/%", "accepted"),
      (workshop.plainWrite, "a/%", "RecordsWriteValidateIntegrityContextIdMismatch"),
    ] {
      let text = context.replacing("%", with: write.recordID.text)
      let json = workshop.signing(workshop.changing(write.message.value, "contextId", to: .string(text)))
      #expect(code(json) == expected)
    }
  }

  @Test("a control record has one segment of context for its two of path")
  func control() throws {
    let json = workshop.changing(
      workshop.plainWrite.message.value, "descriptor/protocolPath", to: "$encryption/delivery")
    #expect(code(try workshop.initialWrite(json)) == "accepted")
  }

  @Test("the id is the author's: the same descriptor signed by somebody else is not an initial write")
  func author() throws {
    let write = workshop.write
    #expect(write.isInitial)
    #expect(RecordsWrite.entryID(of: write.message.descriptor, author: workshop.stranger.did) != write.recordID)
    let moved = try RecordsWrite(
      workshop.check(
        workshop.signing(
          workshop.changing(
            workshop.changing(write.message.value, "recordId", to: "bafyother"), "contextId", to: "bafyparent/bafyother"
          ))))
    #expect(!moved.isInitial)
  }

  @Test("data counts only when its size and its CID are those that were signed")
  func data() {
    let write = workshop.write
    #expect(write.matches(data: Array("hello".utf8)))
    for text in ["", "hell", "hello ", "hellO"] { #expect(!write.matches(data: Array(text.utf8))) }
  }
}
