import DWN
import Foundation
import GRDB
import TestSupport
import Testing
import Wire

@testable import DWNNode

/// What queries ask of definitions, and of a whole feed, is kept beside them.
@Suite(.timeLimit(.minutes(10)))
struct QueryRulesTests {
  private let tenancy: TestTenancy
  private let limited = #"{"few": {"$recordLimit": {"max": 1, "strategy": "reject"}}}"#

  init() throws { tenancy = try TestTenancy() }

  private func execute(_ sql: String) async throws {
    let queue = try DatabaseQueue(path: tenancy.databasePath)
    try await queue.write { try $0.execute(sql: sql) }
    try queue.close()
  }

  @Test("a query looks at no definition, be it one without a protocol, and neither does a read by the tenant")
  func noDefinition() async throws {
    for uri in ["https://example.org/a", TestTenancy.protocolURI, "https://example.org/z"] {
      #expect(try await tenancy.install(limited, uri: uri).status.code == 202)
    }
    let first = try await tenancy.write(tenancy.alice, "few", data: "1")
    let second = try await tenancy.write(tenancy.alice, "few", data: "2")
    await tenancy.node.close()
    // Whoever looked at one would stumble.
    try await execute("UPDATE message SET json = '{' WHERE kind = 'configure'")
    let node = try DWNNode(databasePath: tenancy.databasePath, tenants: [tenancy.alice.did])
    func ask(_ message: SignedMessage) async throws -> Reply {
      try await node.process(tenant: tenancy.alice.did, message: message.message.value, data: nil)
    }
    for filter in [
      RecordsFilter(recordID: first.recordID), RecordsFilter(path: "few"),
      RecordsFilter(dateUpdated: .init(from: WallTime(seconds: 1_000_000_000))),
      RecordsFilter(protocolURI: TestTenancy.protocolURI, path: "few"),
    ] {
      let reply = try await ask(tenancy.alice.signer.recordsQuery(filter, at: tenancy.tick()))
      #expect(reply.entries.compactMap(\.data) == [Array("1".utf8)], "\(filter.json.text): \(reply.status)")
    }
    for (write, status) in [(first, 200), (second, 404)] {
      let read = tenancy.alice.signer.recordsRead(RecordsFilter(recordID: write.recordID), at: tenancy.tick())
      #expect(try await ask(read).status.code == status)
    }
    await node.close()
  }

  @Test("where more places limit records than one question can tell apart, a query names what it is about")
  func manyLimits() async throws {
    // Names have letters alone.
    let roots = (0...QueryRules.mostLimits).map { number in
      let name = String(decoding: [26, 1].map { UInt8(number / $0 % 26) + 0x61 }, as: UTF8.self)
      return #""\#(name)": {"$recordLimit": {"max": 1, "strategy": "reject"}}"#
    }
    #expect(try await tenancy.install("{\(roots.joined(separator: ","))}").status.code == 202)
    let write = try await tenancy.write(tenancy.alice, "aa", data: "0")
    _ = try await tenancy.write(tenancy.alice, "aa", data: "1")
    func status(_ filter: RecordsFilter) async throws -> String {
      try await tenancy.status(tenancy.alice.signer.recordsQuery(filter, at: tenancy.tick()))
    }
    #expect(
      try await status(RecordsFilter(dateUpdated: .init(from: WallTime(seconds: 1_000_000_000))))
        == "400 RecordsFilterTooBroad")
    #expect(try await status(RecordsFilter(protocolURI: TestTenancy.protocolURI)) == "400 RecordsFilterTooBroad")
    #expect(try await status(RecordsFilter(path: "aa", recordID: write.recordID)) == "200")
    #expect(
      try await tenancy.query(tenancy.alice, RecordsFilter(protocolURI: TestTenancy.protocolURI, path: "aa")) == ["0"])
  }

  @Test("the limits of a definition end with it, and come back when what replaced it is undone")
  func undone() async throws {
    let home = try StoreHome(.sqlite)
    defer { home.remove() }
    let store = try home.open()
    let uri = TestTenancy.protocolURI
    let json = JSONValue.object(["descriptor": ["definition": try tenancy.definition(limited)]]).text
    let limits = try await store.write(SampleMessages.alice) { transaction in
      func limits() throws -> [String] {
        try transaction.recordLimits(of: uri, at: nil, atMost: 9).map { "\($0.path.text) \($0.maximum)" }
      }
      var first = SampleMessages.configure(uri, time: 1)
      first.json = json
      first.queryRules = QueryRules(configure: json)
      try transaction.insert(first, data: nil)
      var said = [try limits()]
      var second = SampleMessages.configure(uri, time: 2)
      second.grantID = RecordID("grant")
      try transaction.demote(first)
      try transaction.insert(second, data: nil)
      said.append(try limits())
      try RevocationPurge(transaction: transaction).run(RecordID("grant")!, revoked: SampleMessages.time(0))
      said.append(try limits())
      return said
    }
    #expect(limits == [["few 1"], [], ["few 1"]])
    await store.close()
  }

  @Test("all definitions are told, page by page, and more of them than a reply holds are asked for one by one")
  func manyDefinitions() async throws {
    let uris = (100..<160).map { "https://example.org/p\($0)" }
    for uri in uris { #expect(try await tenancy.install(#"{"box": {}}"#, uri: uri).status.code == 202) }
    let query = tenancy.bob.signer.protocolsQuery(protocolURI: nil, at: tenancy.tick())
    let reply = try await tenancy.send(query)
    #expect(reply.entries.compactMap { $0.message["descriptor"]?["definition"]?["protocol"]?.string } == uris)

    await tenancy.node.close()
    var limits = NodeLimits()
    limits.largestReply = 20_000
    let node = try DWNNode(databasePath: tenancy.databasePath, tenants: [tenancy.alice.did], limits: limits)
    func status(_ message: SignedMessage) async throws -> String {
      try await node.process(tenant: tenancy.alice.did, message: message.message.value, data: nil).status.detail
    }
    #expect(try await status(query).hasPrefix("ProtocolsQueryReplyTooLarge:"))
    let one = tenancy.bob.signer.protocolsQuery(protocolURI: uris[7], at: tenancy.tick())
    #expect(try await status(one) == "OK")
    await node.close()
  }

  @Test("the fingerprint of a whole feed is read where it is kept, and one of a part is that of its messages")
  func fingerprint() async throws {
    #expect(try await tenancy.install(#"{"box": {}}"#).status.code == 202)
    let write = try await tenancy.write(tenancy.alice, "box")
    func fingerprint(_ filters: [MessagesFilter]) async throws -> JSONValue? {
      let query = tenancy.alice.signer.message(
        .messagesQuery(MessagesQuery(filters)), at: tenancy.tick())
      return try await tenancy.send(query).members["fingerprint"]
    }
    let part = try await fingerprint([MessagesFilter(protocolURI: TestTenancy.protocolURI, pathPrefix: "box")])
    #expect(part == .string(Hex.encode(FeedFingerprint.of(write.cid.text).bytes)))
    #expect(try await fingerprint([]) == fingerprint([MessagesFilter(protocolURI: TestTenancy.protocolURI)]))
    // No look at the feed: what is kept is what is told.
    try await execute("UPDATE tenant SET fingerprint0 = 1, fingerprint1 = 0, fingerprint2 = 0, fingerprint3 = -1")
    #expect(
      try await fingerprint([])
        == .string("0000000000000001" + String(repeating: "0", count: 32) + String(repeating: "f", count: 16)))
  }
}
