import DWN
import Foundation
import TestSupport
import Testing
import Wire

@testable import DWNNode

/// Definitions: which are valid, who installs them, who sees them (dwn-server 7).
@Suite(.timeLimit(.minutes(10)))
struct ProtocolInstallationTests {
  let tenancy: TestTenancy

  init() throws { tenancy = try TestTenancy() }

  private func status(_ structure: String, types: [String: String] = [:]) async throws -> String {
    let definition = try tenancy.definition(structure, types: types)
    return try await tenancy.status(tenancy.alice.signer.protocolsConfigure(definition, at: tenancy.tick()))
  }

  @Test(
    "a definition that contradicts itself is refused",
    arguments: [
      (#"{"a": {"$size": {"min": 2, "max": 1}}}"#, "400 ProtocolsConfigureInvalidSize"),
      (#"{"a": {"$recordLimit": {"max": 0, "strategy": "reject"}}}"#, "400 ProtocolsConfigureInvalidRecordLimit"),
      (#"{"a": {"$recordLimit": {"max": 1, "strategy": "other"}}}"#, "400 ProtocolsConfigureInvalidRecordLimit"),
      (#"{"a": {"$tags": {"x": {"type": "nothing"}}}}"#, "400 ProtocolsConfigureInvalidTagSchema"),
      (#"{"a": {"$actions": [{"role": "b", "can": ["read"]}]}}"#, "400 ProtocolsConfigureRoleDoesNotExistAtGivenPath"),
      (
        #"{"a": {"$actions": [{"role": "b/c/d", "can": ["read"]}]}, "b": {"c": {"d": {"$role": true}}}}"#,
        "400 ProtocolsConfigureRoleParentContextDepthExceeded"
      ),
      (
        #"{"a": {"$actions": [{"who": "anyone", "of": "a", "can": ["read"]}]}}"#,
        "400 ProtocolsConfigureInvalidActionOfNotAllowed"
      ),
      (#"{"a": {"$actions": [{"who": "author", "can": ["read"]}]}}"#, "400 ProtocolsConfigureInvalidActionMissingOf"),
      (
        #"{"a": {"$actions": [{"who": "recipient", "can": ["read"]}]}}"#,
        "400 ProtocolsConfigureInvalidRecipientOfAction"
      ),
      (
        #"{"a": {"$actions": [{"who": "author", "of": "b", "can": ["read"]}]}, "b": {}}"#,
        "400 ProtocolsConfigureInvalidActionOfNotAnAncestor"
      ),
      (
        #"{"a": {"$actions": [{"who": "anyone", "can": ["update"]}]}}"#,
        "400 ProtocolsConfigureInvalidActionUpdateWithoutCreate"
      ),
      (
        #"{"a": {"$actions": [{"who": "anyone", "can": ["delete"]}]}}"#,
        "400 ProtocolsConfigureInvalidActionDeleteWithoutCreate"
      ),
      (
        #"{"a": {"$actions": [{"who": "anyone", "can": ["prune"]}]}}"#,
        "400 ProtocolsConfigureInvalidActionPruneWithoutCreate"
      ),
      (
        #"{"a": {"$actions": [{"who": "anyone", "can": ["read"]}, {"who": "anyone", "can": ["create"]}]}}"#,
        "400 ProtocolsConfigureDuplicateActorInRuleSet"
      ),
      (
        #"{"a": {"$role": true, "$actions": [{"role": "a", "can": ["read"]}, {"role": "a", "can": ["co-update"]}]}}"#,
        "400 ProtocolsConfigureDuplicateRoleInRuleSet"
      ),
      (#"{"a": {"$unknown": 1}}"#, "400 SchemaValidatorAdditionalPropertyNotAllowed"),
      (#"{"a": {"$encryption": {"x": {}}}}"#, "400 ProtocolsConfigureReservedEncryptionControlPath"),
      (#"{"$encryption": {}}"#, "400 ProtocolsConfigureReservedEncryptionControlPath"),
      (#"{"a": {"$squash": false}}"#, "400 SchemaValidatorFailure"),
      (#"{"a": {"$actions": []}}"#, "400 SchemaValidatorFailure"),
      (#"{"a": {"$actions": [{"who": "anyone", "can": ["fly"]}]}}"#, "400 SchemaValidatorFailure"),
      (#"{"a": {"$ref": "other:path"}}"#, "400 ProtocolsConfigureInvalidRefAlias"),
      (
        #"{"a": {"$actions": [{"role": "other:b", "can": ["read"]}]}}"#,
        "400 ProtocolsConfigureInvalidCrossProtocolRole"
      ),
      (
        #"{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{}}}}}}}}}}}}"#,
        "400 ProtocolsConfigureRecordNestingDepthExceeded"
      ),
      (#"{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{}}}}}}}}}}}"#, "202"),
    ])
  func contradictions(structure: String, expected: String) async throws {
    #expect(try await status(structure) == expected)
  }

  @Test(
    "types have their form",
    arguments: [
      (#"{"schema": "HTTPS://example.org/S"}"#, "400 UrlSchemaNotNormalized"),
      (#"{"dataFormats": []}"#, "400 SchemaValidatorFailure"),
      (#"{"other": 1}"#, "400 SchemaValidatorAdditionalPropertyNotAllowed"),
      (#"{"encryptionRequired": true}"#, "400 ProtocolsConfigureMissingTopLevelKeyAgreement"),
      (#"{"schema": "https://example.org/s", "dataFormats": ["a/b"], "encryptionRequired": false}"#, "202"),
    ])
  func types(type: String, expected: String) async throws {
    #expect(try await status(#"{"a": {}}"#, types: ["a": type]) == expected)
  }

  @Test("definitions have as much room as other messages, and count what they mean for queries")
  func room() async throws {
    let list = TenantList(owner: tenancy.alice.did)
    list.replace(with: [tenancy.bob.did])
    var limits = NodeLimits()
    limits.quota = TenantQuota(messages: 300, bytes: 1 << 20)
    let path = tenancy.folder.appendingPathComponent("counted").appendingPathComponent("node.sqlite").path
    let node = try DWNNode(databasePath: path, tenants: .kept(list), limits: limits)
    func install(_ structure: String, _ uri: String) async throws -> String {
      let definition = try tenancy.definition(structure, uri: uri)
      let message = tenancy.bob.signer.protocolsConfigure(definition, at: tenancy.tick())
      let reply = try await node.process(tenant: tenancy.bob.did, message: message.message.value, data: nil)
      return "\(reply.status.code) \(reply.status.detail.prefix { $0 != ":" })"
    }
    for number in 0..<290 {
      #expect(try await install(#"{"box": {}}"#, "https://example.org/\(number % 100)") == "202 Accepted")
    }
    let letters = "abcdefghijklmnopqrstuv"
    let limited = letters.flatMap { first in
      letters.map { second in #""\#(first)\#(second)": {"$recordLimit": {"max": 1, "strategy": "reject"}}"# }
    }
    let uri = "https://example.org/" + String(repeating: "u", count: 900)
    let limitedReply = try await install("{\(limited.joined(separator: ","))}", uri)
    #expect(limitedReply == "429 TenantStorageQuotaExceeded")
    #expect(try await install(#"{"box": {}}"#, uri) == "202 Accepted")
    await node.close()
  }

  @Test("encryption of the v1 envelope needs its keys wherever it is read")
  func keyAgreement() async throws {
    let key =
      #""$keyAgreement": {"publicKeyJwk": {"kty": "OKP", "crv": "X25519", "x": "n4zSUj1Wf3YHBZlAkRI_LrpXq9P9MaPR32eEwdpjAU8"}}"#
    func install(_ structure: String) async throws -> String {
      var definition = try tenancy.definition(structure, types: ["a": #"{"encryptionRequired": true}"#]).object ?? [:]
      definition["$keyAgreement"] = try JSONValue(parsing: "{\(key)}")["$keyAgreement"]
      return try await tenancy.status(tenancy.alice.signer.protocolsConfigure(.object(definition), at: tenancy.tick()))
    }
    #expect(try await install(#"{"a": {}}"#) == "400 ProtocolsConfigureMissingEncryptedPathKeyAgreement")
    #expect(
      try await install(#"{"a": {\#(key), "$actions": [{"who": "anyone", "can": ["read"]}]}}"#)
        == "400 ProtocolsConfigureInvalidEncryptedAnyoneRead")
    let read = #""$actions": [{"role": "b", "can": ["read"]}]"#
    #expect(
      try await install(#"{"a": {\#(key), \#(read)}, "b": {"$role": true}}"#)
        == "400 ProtocolsConfigureInvalidEncryptedRoleMissingKeyAgreement")
    #expect(try await install(#"{"a": {\#(key), \#(read)}, "b": {\#(key), "$role": true}}"#) == "202")
  }

  @Test("whether a type is encrypted stays as it is while there are records that would be otherwise")
  func encryptionPolicy() async throws {
    let key =
      #""$encryption": {"rootKeyId": "a", "publicKeyJwk": {"kty": "OKP", "crv": "X25519", "x": "n4zSUj1Wf3YHBZlAkRI_LrpXq9P9MaPR32eEwdpjAU8"}}"#
    func install(required: Bool, unused: Bool = false) async throws -> String {
      try await status(
        #"{"a": {\#(key)}, "b": {\#(key)}}"#,
        types: ["a": #"{"encryptionRequired": \#(required)}"#, "b": #"{"encryptionRequired": \#(unused)}"#])
    }
    let refusal = "400 ProtocolsConfigureEncryptionPolicyImmutable"
    #expect(try await install(required: false) == "202")
    let clear = try await tenancy.write(tenancy.alice, "a")
    #expect(try await install(required: true) == refusal)
    #expect(try await install(required: false, unused: true) == "202", "there are none of the other type")
    let delete = tenancy.alice.signer.recordsDelete(clear.recordID, prune: false, at: tenancy.tick())
    #expect(try await tenancy.status(delete) == "202")
    #expect(try await install(required: true) == "202")
    var sealed = tenancy.draft("a")
    sealed.encryption = ["recipients": ["x"]]
    #expect(try await tenancy.attempt(tenancy.alice, sealed) == "202")
    #expect(try await install(required: false) == refusal)
  }

  @Test("what a definition is called, and what stands in its structure, is what it says")
  func names() async throws {
    func status(_ change: (inout JSONObject) -> Void) async throws -> String {
      var definition = try tenancy.definition(#"{"a": {}}"#).object ?? [:]
      change(&definition)
      return try await tenancy.status(tenancy.alice.signer.protocolsConfigure(.object(definition), at: tenancy.tick()))
    }
    #expect(try await status { $0["protocol"] = "Example.org/test" } == "400 UrlProtocolNotNormalized")
    #expect(try await status { $0["structure"] = ["b": [:]] } == "400 ProtocolsConfigureInvalidRuleSetRecordType")
    #expect(
      try await status { $0["types"] = ["$encryption": [:]] } == "400 ProtocolsConfigureReservedEncryptionControlPath")
    #expect(try await status { $0["published"] = nil } == "400 SchemaValidatorFailure")
    #expect(try await status { $0["more"] = 1 } == "400 SchemaValidatorAdditionalPropertyNotAllowed")
    #expect(try await status { _ in } == "202")
  }

  @Test("only the tenant installs; the newest definition stays whatever comes first")
  func installation() async throws {
    let definition = try tenancy.definition(#"{"a": {}}"#)
    let newer = try tenancy.definition(#"{"b": {}}"#)
    let early = tenancy.tick()
    let late = tenancy.tick()
    let stranger = tenancy.bob.signer.protocolsConfigure(definition, at: early)
    #expect(try await tenancy.status(stranger) == "401 ProtocolsConfigureAuthorizationFailed")
    let second = tenancy.alice.signer.protocolsConfigure(newer, at: late)
    #expect(try await tenancy.status(second) == "202")
    #expect(try await tenancy.status(second) == "409")
    #expect(try await tenancy.status(tenancy.alice.signer.protocolsConfigure(definition, at: early)) == "202")
    let query = tenancy.bob.signer.protocolsQuery(protocolURI: TestTenancy.protocolURI, at: tenancy.tick())
    #expect(try await tenancy.send(query).entries.map(\.message) == [second.message.value])
    #expect(try await tenancy.attempt(tenancy.alice, tenancy.draft("b")) == "202")
    #expect(try await tenancy.attempt(tenancy.alice, tenancy.draft("a")) == "400 ProtocolAuthorizationInvalidType")
  }

  @Test("a message is judged by the definition of its time, also when it or the definition comes late")
  func governingDefinition() async throws {
    let times = (0..<6).map { _ in tenancy.tick() }
    func write(_ path: ProtocolPath, at time: WallTime) async throws -> String {
      let draft = tenancy.draft(path)
      return try await tenancy.status(tenancy.alice.signer.recordsWrite(draft, at: time).signed, data: draft.data)
    }
    func install(_ structure: String, at time: WallTime) async throws -> String {
      try await tenancy.status(
        tenancy.alice.signer.protocolsConfigure(try tenancy.definition(structure), at: time))
    }
    let refused = "400 ProtocolAuthorizationInvalidType"
    #expect(try await install(#"{"b": {}}"#, at: times[4]) == "202")
    // All definitions are later: the oldest governs.
    #expect(try await write("b", at: times[0]) == "202")
    #expect(try await install(#"{"a": {}}"#, at: times[2]) == "202")
    #expect(try await install(#"{"a": {}}"#, at: times[2]) == "409")
    #expect(try await write("b", at: times[1]) == refused)
    #expect(try await write("a", at: times[1]) == "202")
    #expect(try await write("a", at: times[3]) == "202")
    #expect(try await write("b", at: times[3]) == refused)
    #expect(try await write("a", at: times[4]) == refused)
    #expect(try await write("b", at: times[5]) == "202")
  }

  @Test("strangers see published definitions, the tenant all")
  func visibility() async throws {
    for (uri, published) in [("https://example.org/open", true), ("https://example.org/hidden", false)] {
      #expect(try await tenancy.install(#"{"a": {}}"#, uri: uri, published: published).status.code == 202)
    }
    func count(_ person: Person) async throws -> Int {
      try await tenancy.send(person.signer.protocolsQuery(protocolURI: nil, at: tenancy.tick())).entries.count
    }
    #expect(try await count(tenancy.alice) == 2)
    #expect(try await count(tenancy.bob) == 1)
    var unsigned = tenancy.bob.signer.protocolsQuery(protocolURI: "https://example.org/open", at: tenancy.tick())
      .message.json
    unsigned["authorization"] = nil
    let reply = try await tenancy.node.process(tenant: tenancy.alice.did, message: .object(unsigned), data: nil)
    #expect(reply.entries.count == 1)
  }

  @Test(
    "the definitions of upstream's time install",
    .enabled(if: Fixtures.have("mesh/key-derivation-jwe.json"), Comment(rawValue: Fixtures.skipped)),
    arguments: ["mesh/key-derivation-jwe.json", "mesh/key-derivation-v1.json"])
  func upstreamDefinitions(file: String) throws {
    func definitions(_ value: JSONValue) -> [JSONValue] {
      if value["structure"] != nil, value["types"] != nil { return [value] }
      return (value.object?.members.map(\.value) ?? value.array ?? []).flatMap(definitions)
    }
    let found = definitions(try Fixtures.json(file))
    #expect(!found.isEmpty)
    for definition in found {
      let parsed = try ProtocolDefinition(definition)
      #expect(!parsed.ruleSets.isEmpty)
    }
  }
}
