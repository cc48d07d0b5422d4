import DWN
import Foundation
import Identity
import TestSupport
import Testing
import Wire

@testable import DWNNode

/// Queries of the conformance files against a node that holds their seeds (dwn-conformance 3.4).
@Suite(
  "Conformance of queries", .enabled(if: Fixtures.have("dwn/manifest.json"), "\(Fixtures.skipped)"),
  .timeLimit(.minutes(10)))
struct ConformanceQueryTests {
  /// A case with the seeds that it names.
  struct Query: Sendable, CustomTestStringConvertible {
    let id: String
    let seeds: [JSONValue]
    let query: JSONValue

    var testDescription: String { id }

    /// All cases of a suite of the manifest; what asks is a member of this name.
    static func all(_ assertion: String, _ member: String) -> [Query] {
      Conformance.paths(asserting: assertion).flatMap { path -> [Query] in
        guard let file = try? Fixtures.json(path), let cases = file["cases"]?.array else { return [] }
        return cases.compactMap { item in
          guard let id = item["id"]?.string, let query = item[member], let set = query["seedSet"]?.string,
            let seeds = file["seedSets"]?[set]?.array
          else { return nil }
          return Query(id: id, seeds: seeds, query: query)
        }
      }
    }
  }

  /// The one key of the files, under a DID that exists nowhere else.
  private struct Directory: DIDDirectory {
    func document(of did: DID) async throws(DIDError) -> DIDDocument {
      guard did.text == "did:example:alice" else { throw .unsupportedMethod(String(did.method)) }
      let kid = "did:example:alice#key1"
      let jwk: JSONValue = ["kty": "OKP", "crv": "Ed25519", "x": "A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg"]
      return DIDDocument(
        id: did, verificationMethods: [.init(id: kid, publicKeyJWK: jwk)], authentication: [kid], keyAgreement: [])
    }
  }

  private static let tags = Query.all("records.tags.query", "recordsTagsQuery")
  private static let grants = Query.all("permissions.grant-query", "permissionsGrantQuery")

  @Test("both files have their cases")
  func cases() {
    #expect(Self.tags.count == 5)
    #expect(Self.grants.count == 3)
  }

  @Test("a query finds what other nodes find", arguments: tags + grants)
  func find(query: Query) async throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("conformance-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: folder) }
    let tenant = try #require(query.query["tenant"]?.string.flatMap { DID($0) })
    let store = try SQLiteMessageStore(path: folder.appendingPathComponent("node.sqlite").path)
    let node = DWNNode(store: store, tenants: [tenant], limits: NodeLimits(), directory: Directory())
    for seed in query.seeds {
      let (message, data) = try await stored(seed)
      _ = try await store.write(tenant) { try $0.insert(message, data: data) }
    }
    let request = try #require(query.query["request"]?["message"])
    let reply = try await node.process(tenant: tenant, message: request, data: nil)
    let expected = try #require(query.query["reply"])
    #expect(reply.status.code == expected["status"]?["code"]?.integer.map { Int($0) })
    #expect(reply.status.detail == expected["status"]?["detail"]?.string)
    #expect(
      reply.entries.map { $0.message["recordId"] } == (try #require(expected["entries"]?.array).map { $0["recordId"] }))
    #expect(expected["cursor"] == .null)
    #expect(reply.members["cursor"] == nil)
    await node.close()
  }

  @Test("a request, a grant and its revocation are taken in the order of their file")
  func permissions() async throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("conformance-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: folder) }
    let alice = try #require(DID("did:example:alice"))
    let node = try DWNNode(
      databasePath: folder.appendingPathComponent("node.sqlite").path, tenants: [alice], directory: Directory())
    let cases = try #require(try Fixtures.json("dwn/dwn/protocols/permissions-protocol-records.json")["cases"]?.array)
    #expect(cases.count == 3)
    for item in cases {
      let data = Array(try #require(item["data"]?["value"]?.string).utf8)
      let reply = try await node.process(tenant: alice, message: try #require(item["message"]), data: data)
      #expect(reply.status.code == 202, "\(item["id"]?.string ?? ""): \(reply.status)")
    }
    await node.close()
  }

  /// A seed beneath the rules for admission: its protocol is not installed.
  private func stored(_ seed: JSONValue) async throws -> (StoredMessage, [UInt8]) {
    let value = try #require(seed["message"])
    let claimed = try ClaimedMessage(try Message(value))
    let documents = await Directory().documents(of: claimed.signers)
    let write = try RecordsWrite(SignedMessage(verifying: claimed, resolver: documents))
    #expect(write.cid.text == seed["messageCid"]?.string)
    let data = try #require(seed["encodedData"]?.string.flatMap { Base64.decode($0) })
    #expect(write.matches(data: data))
    let published = write.message.descriptor["datePublished"]?.string.flatMap { WallTime(timestamp: $0) }
    let message = StoredMessage(
      kind: .write, cid: write.cid.text, element: write.signed.element, author: write.author,
      timestamp: write.timestamp, json: value.text, protocolURI: write.protocolURI,
      place: .init(
        recordID: write.recordID, contextID: write.contextID, path: write.path, recipient: write.recipient,
        schema: write.schema, dateCreated: write.dateCreated),
      content: .init(
        dataFormat: write.dataFormat, dataCID: write.dataCID, dataSize: write.dataSize, isPublished: write.published,
        datePublished: published, isSquash: write.squash, isInitial: write.isInitial, tags: write.tags),
      isLatest: true)
    return (message, data)
  }
}
