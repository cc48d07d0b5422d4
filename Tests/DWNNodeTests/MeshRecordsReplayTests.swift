import DWN
import Foundation
import Identity
import TestSupport
import Testing
import Wire

@testable import DWNNode

/// The fixture network of `mesh-records.json`, offered to a node as its machines would.
@Suite(
  .enabled(if: Fixtures.have("mesh/mesh-records.json"), Comment(rawValue: Fixtures.skipped)), .timeLimit(.minutes(10)))
struct MeshRecordsReplayTests {
  let fixture: JSONValue
  let anchor: DID
  let node: DWNNode
  let folder: URL

  init() throws {
    fixture = try Fixtures.json("mesh/mesh-records.json")
    let identities = fixture["identities"]?.array ?? []
    let text = identities.first { $0["name"] == "anchor" }?["did"]?.string
    anchor = try #require(text.flatMap { DID($0) })
    folder = FileManager.default.temporaryDirectory.appendingPathComponent("replay-\(UUID().uuidString)")
    node = try DWNNode(databasePath: folder.appendingPathComponent("node.sqlite").path, tenants: [anchor])
  }

  private func offer(_ entry: JSONValue) async throws -> Reply {
    let message = try #require(entry["message"])
    let data = entry["body_b64u"]?.string.flatMap { Base64.decode($0) }
    return try await node.process(tenant: anchor, message: message, data: data)
  }

  private func name(_ entry: JSONValue) -> String { entry["name"]?.string ?? "?" }

  /// What a node can tell by itself. The rest of the fixture's cases are signed by the anchor and well-formed: readers refuse
  /// them, a node cannot.
  static let refusals: [String: String] = [
    "node moved to another network": "RecordsWriteValidateIntegrityContextIdNotInSignerSignaturePayload",
    "data altered": "RecordsWriteDataCidMismatch",
    "encryption replaced": "RecordsWriteValidateIntegrityEncryptionCidMismatch",
    "encryption removed": "RecordsWriteValidateIntegrityEncryptionCidMismatch",
    "descriptor altered": "AuthenticateDescriptorCidMismatch",
    "signature altered": "GeneralJwsVerifierInvalidSignature",
    "signed by one, claimed by another": "GeneralJwsVerifierInvalidSignature",
    "twin: signature respelled": "SchemaValidatorFailure",
    "twin: extra member in the signature": "SchemaValidatorFailure",
    "twin: extra member in authorization": "SchemaValidatorAdditionalPropertyNotAllowed",
    "twin: extra member on top": "SchemaValidatorUnevaluatedPropertyNotAllowed",
    "node record by a member": "ProtocolAuthorizationActionNotAllowed",
    "endpoint of node-b by node-a": "ProtocolAuthorizationActionNotAllowed",
    "policy by a member": "ProtocolAuthorizationActionNotAllowed",
    "relay by a member": "ProtocolAuthorizationActionNotAllowed",
    "delete by a member": "ProtocolAuthorizationActionNotAllowed",
    "head by a member": "ProtocolAuthorizationActionNotAllowed",
    "node under a schema of another path": "ProtocolAuthorizationInvalidSchema",
    "update that changes the recipient": "RecordsWriteImmutablePropertyChanged",
    "contextKey in clear": "ProtocolAuthorizationEncryptionRequired",
    "definition signed by somebody else": "ProtocolsConfigureAuthorizationFailed",
    "removed node shown again": "Conflict",
    "policy version 1 shown again": "ProtocolAuthorizationSquashBackstop",
    "endpoint of node-b from before it moved": "Conflict",
  ]

  @Test("every message is accepted in its order, and what no one may write is refused at every point between")
  func replay() async throws {
    let refuse = fixture["refuse"]?.array ?? []
    for entry in fixture["messages"]?.array ?? [] {
      let reply = try await offer(entry)
      #expect(reply.status.code == 202, "\(name(entry)): \(reply.status)")
      for bad in refuse where bad["afterHead"] == entry["name"] {
        guard let code = Self.refusals[name(bad)] else { continue }
        let reply = try await offer(bad)
        #expect(reply.status.code >= 400, "\(name(bad)): \(reply.status)")
        #expect(reply.status.detail.hasPrefix(code), "\(name(bad)): \(reply.status)")
      }
    }
    #expect(Set(refuse.map(name)).isSuperset(of: Self.refusals.keys))
    await node.close()
    try? FileManager.default.removeItem(at: folder)
  }

  @Test("every message a second time is a conflict, but for what was squashed, pruned or superseded")
  func replayTwice() async throws {
    let messages = fixture["messages"]?.array ?? []
    for entry in messages { _ = try await offer(entry) }
    for entry in messages {
      let reply = try await offer(entry)
      #expect([202, 400, 404, 409].contains(reply.status.code), "\(name(entry)): \(reply.status)")
    }
    let reader = Person("node-b")
    let network = ContextID(try #require(fixture["networkId"]?.string))
    let heads = try await node.process(
      tenant: anchor,
      message: reader.signer.recordsQuery(
        RecordsFilter(
          protocolURI: fixture["protocol"]?.string, path: "network/head", contextID: network), at: .now(),
        role: "network/node"
      ).message.value, data: nil)
    #expect(heads.entries.count == 1)
    await node.close()
    try? FileManager.default.removeItem(at: folder)
  }
}
