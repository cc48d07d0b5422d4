import DWN
import Foundation
import Identity
import TestSupport
import Testing
import Wire

@testable import DWNNode

/// What the reference implementation answers to queries of a feed (dwn-conformance 3.2). The messages of these cases are schematic:
/// they are put into the store as the file has them, beneath what admits messages.
struct MessagesFixture: Sendable, CustomTestStringConvertible {
  let testDescription: String
  fileprivate let json: JSONValue
  fileprivate let seeds: [JSONValue]

  /// `nil` where there is nothing to test with.
  static func all() throws -> [MessagesFixture] {
    try Conformance.paths(asserting: "messages-query.replies").flatMap { path -> [MessagesFixture] in
      let file = try Fixtures.json(path)
      return (file["cases"]?.array ?? []).compactMap { item in
        guard let query = item["query"], let id = item["id"]?.string else { return nil }
        let seeds = query["seedSet"]?.string.flatMap { file["querySeedSets"]?[$0]?.array } ?? []
        return MessagesFixture(testDescription: id, json: query, seeds: seeds)
      }
    }
  }

  static func query(_ filters: [JSONValue]) throws -> MessagesQuery {
    let descriptor: JSONValue = [
      "interface": "Messages", "method": "Query", "messageTimestamp": "2026-01-01T00:00:00.000000Z",
      "filters": .array(filters),
    ]
    let message: JSONValue = ["descriptor": descriptor, "authorization": [:]]
    guard case .messagesQuery(let query) = try Message(message).body else {
      throw TestTenancy.Unexpected(text: "no query")
    }
    return query
  }
}

extension MessagesFixture {
  private var tenant: DID { get throws { try required(json["tenant"]?.string.flatMap { DID($0) }) } }

  private func required<Value>(_ value: Value?) throws -> Value {
    guard let value else { throw TestTenancy.Unexpected(text: "\(testDescription) has another form") }
    return value
  }

  fileprivate func run() async throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("replies-\(UUID().uuidString)")
    let store = try SQLiteMessageStore(path: folder.appendingPathComponent("node.sqlite").path)
    let tenant = try tenant
    let seeds = try seeds.map { (try seed($0), $0["encodedData"]?.string.flatMap { Base64.decode($0) }) }
    try await store.write(tenant) { transaction in
      for (message, data) in seeds { try transaction.insert(message, data: data) }
    }
    if let transition = json["transition"] {
      try await change(transition, store, tenant)
    } else {
      let reply = try await answer(try required(json["request"]), store, tenant)
      try compare(reply, with: try required(json["reply"]))
      if let resume = json["resume"] {
        var request = try required(json["request"]?.object)
        request["cursor"] = resume["cursor"]
        try compare(try await answer(.object(request), store, tenant), with: try required(resume["reply"]))
      }
    }
    await store.close()
    try? FileManager.default.removeItem(at: folder)
  }

  private func seed(_ json: JSONValue) throws -> StoredMessage {
    let message = try required(json["message"])
    let descriptor = try required(message["descriptor"])
    let kind: StoredMessage.Kind =
      switch descriptor["method"]?.string {
      case "Write": .write
      case "Delete": .delete
      default: .configure
      }
    let time = try required(descriptor["messageTimestamp"]?.string.flatMap { WallTime(timestamp: $0) })
    let cid = try required(json["messageCid"]?.string)
    var stored = StoredMessage(
      kind: kind, cid: cid, element: cid, author: try tenant, timestamp: time, json: message.text,
      protocolURI: try required(descriptor["protocol"]?.string), isLatest: json["isLatestBaseState"]?.bool ?? false)
    guard kind != .configure else { return stored }
    let context = try required(ContextID("note\(json["position"]?.string ?? "")"))
    stored.place = StoredMessage.Place(
      recordID: context.record, contextID: context,
      path: try required(json["indexes"]?["protocolPath"]?.string.flatMap { ProtocolPath($0) }), recipient: nil,
      schema: nil, dateCreated: time)
    guard kind == .write else { return stored }
    stored.content = StoredMessage.Content(
      dataFormat: try required(descriptor["dataFormat"]?.string),
      dataCID: try required(descriptor["dataCid"]?.string.flatMap { CID($0) }),
      dataSize: Int(try required(descriptor["dataSize"]?.integer)), isPublished: false, isSquash: false, isInitial: true
    )
    return stored
  }

  private func answer(_ request: JSONValue, _ store: SQLiteMessageStore, _ tenant: DID) async throws -> Reply {
    let tokens = FeedTokens(tenant: tenant, epoch: store.epoch)
    var query = try Self.query(request["filters"]?.array ?? [])
    query.limit = request["limit"]?.integer.map { Int($0) }
    query.cidsOnly = request["cidsOnly"]?.bool
    if let cursor = request["cursor"] {
      query.cursor = try required(
        ProgressToken(cursor)
          ?? cursor["position"]?.string.flatMap { FeedPosition($0) }.map {
            ProgressToken(streamID: tokens.streamID, epoch: tokens.epoch, position: $0)
          })
    }
    // The grant of this case is one for a protocol alone, and taken for granted.
    let showsData = request["permissionGrantIds"] == nil
    return try await store.read(tenant) { [query] reader in
      try MessagesQuerying(tokens: tokens, reader: reader, limits: NodeLimits(), showsData: showsData).reply(to: query)
    }
  }

  /// An entry that changes in its place: its data is dropped here, where the file has it arrive.
  private func change(_ transition: JSONValue, _ store: SQLiteMessageStore, _ tenant: DID) async throws {
    let cid = try required(transition["messageCid"]?.string)
    try await store.write(tenant) { transaction in
      if let message = try transaction.message(cid: cid) { try transaction.demote(message) }
    }
    let entries = try required(try await answer(["filters": []], store, tenant).members["entries"]?.array)
    let expected = try required(json["reply"])
    let occurrences = entries.filter { $0["messageCid"] == .string(cid) }
    #expect(expected["entryCount"] == .integer(Int64(entries.count)))
    #expect(expected["messageCidOccurrences"] == .integer(Int64(occurrences.count)))
    #expect(expected["position"] == occurrences.first?["seq"])
  }

  /// Only what the expected reply names counts.
  private func compare(_ reply: Reply, with expected: JSONValue) throws {
    if let status = expected["status"] { #expect(status["code"] == .integer(Int64(reply.status.code))) }
    if let position = expected["cursor"]?["position"] { #expect(reply.members["cursor"]?["position"] == position) }
    for name in ["drained", "fingerprint"] where expected[name] != nil {
      #expect(reply.members[name] == expected[name])
    }
    for name in ["code", "reason"] where expected["error"]?[name] != nil {
      #expect(reply.members["error"]?[name] == expected["error"]?[name])
    }
    guard let entries = expected["entries"]?.array else { return }
    var found = reply.members["entries"]?.array ?? []
    // By a grant, the file says only what is among the answers.
    if json["author"] != nil {
      found = found.filter { entry in entries.contains { $0["messageCid"] == entry["messageCid"] } }
    }
    #expect(found.count == entries.count)
    for (found, entry) in zip(found, entries) {
      for (name, value) in entry.object?.members ?? [] {
        switch name {
        case "message": #expect(found["message"]?.object != nil)
        case "messageHasEncodedData": #expect((found["message"]?["encodedData"] != nil) == value.bool)
        default: #expect((found[name] ?? .null) == value, "\(name)")
        }
      }
      for name in (expected["entryFieldsOmitted"]?.array ?? []).compactMap(\.string) { #expect(found[name] == nil) }
    }
  }
}

@Suite(.enabled(if: Conformance.isHere, Comment(rawValue: Fixtures.skipped)))
struct MessagesQueryConformanceTests {
  /// The case of a store without a feed has no counterpart: every store of ours has one.
  static let cases = ((try? MessagesFixture.all()) ?? []).filter {
    $0.testDescription != "messages-query-feed-unavailable"
  }

  @Test("the replies are those of the reference implementation", arguments: cases)
  func replies(item: MessagesFixture) async throws {
    try await item.run()
  }

  @Test("all cases are there")
  func count() {
    #expect(Self.cases.count == 7)
  }
}
