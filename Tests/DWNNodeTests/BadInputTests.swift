import DWN
import Foundation
import Identity
import TestSupport
import Testing
import Wire

@testable import DWNNode

/// What is malformed, or belongs elsewhere, gets its status and changes nothing.
@Suite(.timeLimit(.minutes(10)))
struct BadInputTests {
  let tenancy: TestTenancy
  let good: RecordsWrite
  static let data = Array("1".utf8)

  init() async throws {
    tenancy = try TestTenancy()
    let installed = try await tenancy.install(#"{"box": {"$actions": [{"who": "anyone", "can": ["create"]}]}}"#)
    #expect(installed.status.code == 202)
    good = tenancy.bob.signer.recordsWrite(tenancy.draft("box", data: "1"), at: tenancy.tick())
  }

  private func status(_ json: JSONObject) async throws -> String {
    let reply = try await tenancy.node.process(tenant: tenancy.alice.did, message: .object(json), data: Self.data)
    return "\(reply.status.code) \(reply.status.detail.split(separator: ":").first ?? "")"
  }

  private func count() async throws -> Int {
    try await tenancy.query(tenancy.alice, RecordsFilter(protocolURI: TestTenancy.protocolURI)).count
  }

  /// The good message with its descriptor, or its signature, or its outer members changed.
  private func changed(
    descriptor: (inout JSONObject) -> Void = { _ in }, signature: (inout JSONObject) -> Void = { _ in },
    message: (inout JSONObject) -> Void = { _ in }
  ) -> JSONObject {
    var json = good.message.json
    var inner = json["descriptor"]?.object ?? [:]
    descriptor(&inner)
    json["descriptor"] = .object(inner)
    var authorization = json["authorization"]?.object ?? [:]
    var jws = authorization["signature"]?.object ?? [:]
    signature(&jws)
    authorization["signature"] = .object(jws)
    json["authorization"] = .object(authorization)
    message(&json)
    return json
  }

  private func deep(_ levels: Int) -> JSONValue { levels == 0 ? 1 : .array([deep(levels - 1)]) }

  @Test("a message of the wrong form is a 400")
  func form() async throws {
    let schema = "400 SchemaValidatorFailure"
    let additional = "400 SchemaValidatorAdditionalPropertyNotAllowed"
    #expect(try await status([:]) == schema)
    #expect(try await status(changed(descriptor: { $0["method"] = nil })) == schema)
    #expect(try await status(changed(descriptor: { $0["method"] = "Fly" })) == schema)
    #expect(try await status(changed(descriptor: { $0["dataSize"] = -1 })) == schema)
    #expect(try await status(changed(descriptor: { $0["dataSize"] = .number(1.5) })) == schema)
    #expect(try await status(changed(descriptor: { $0["recipient"] = .null })) == schema)
    #expect(try await status(changed(descriptor: { $0["tags"] = deep(30) })) == schema)
    #expect(try await status(changed(descriptor: { $0["other"] = 1 })) == additional)
    #expect(
      try await status(changed(message: { $0["other"] = 1 }))
        == additional.replacing("Additional", with: "Unevaluated"))
    #expect(try await status(changed(message: { $0["authorization"] = nil })) == schema)
    #expect(try await count() == 0)
  }

  @Test("what was signed for something else is refused")
  func confusion() async throws {
    let other = tenancy.bob.signer.recordsWrite(tenancy.draft("box", data: "2"), at: tenancy.tick())
    let foreign = other.message.json["authorization"]?["signature"]?.object ?? [:]
    #expect(
      try await status(changed(descriptor: { $0["dataFormat"] = "text/plain" }))
        == "400 AuthenticateDescriptorCidMismatch")
    #expect(
      try await status(changed(signature: { $0["payload"] = foreign["payload"] }))
        == "400 AuthenticateDescriptorCidMismatch")
    #expect(
      try await status(changed(signature: { $0["signatures"] = foreign["signatures"] }))
        == "401 GeneralJwsVerifierInvalidSignature")
    #expect(
      try await status(
        changed(signature: {
          $0["signatures"] = .array(($0["signatures"]?.array ?? []) + ($0["signatures"]?.array ?? []))
        }))
        == "400 AuthenticationMoreThanOneSignatureNotSupported")
    #expect(
      try await status(changed(message: { $0["recordId"] = .string(other.recordID.text) }))
        == "400 RecordsWriteValidateIntegrityRecordIdUnauthorized")
    #expect(
      try await status(changed(message: { $0["contextId"] = .string(other.contextID.text) }))
        == "400 RecordsWriteValidateIntegrityContextIdNotInSignerSignaturePayload")
    #expect(
      try await status(changed(message: { $0["encryption"] = ["recipients": [1]] }))
        == "400 RecordsWriteValidateIntegrityEncryptionCidMismatch")
    #expect(try await count() == 0)
  }

  @Test("a message for one tenant says nothing at another, and a replay of it says nothing twice")
  func otherTenant() async throws {
    #expect(try await tenancy.status(good.signed, data: Self.data) == "202")
    #expect(try await tenancy.status(good.signed, data: Self.data) == "409")
    let elsewhere = try await tenancy.node.process(
      tenant: tenancy.carol.did, message: good.message.value, data: Self.data)
    #expect(elsewhere.status.code == 401)
    #expect(try await count() == 1)
  }

  @Test("no clock is asked: a message of any real instant is taken", arguments: [0, 4_102_444_800_000_000])
  func clockSkew(microseconds: Int64) async throws {
    let draft = tenancy.draft("box", data: "1")
    let write = tenancy.bob.signer.recordsWrite(draft, at: WallTime(microseconds: microseconds))
    #expect(try await tenancy.status(write.signed, data: draft.data) == "202")
    #expect(
      try await status(changed(descriptor: { $0["messageTimestamp"] = "2026-02-30T00:00:00.000000Z" })).hasPrefix("400")
    )
  }
}
