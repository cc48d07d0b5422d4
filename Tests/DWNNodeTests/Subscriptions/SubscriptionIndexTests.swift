import DWN
import Foundation
import Identity
import TestSupport
import Testing
import Wire

@testable import DWNNode

/// Who listens for what, found by index, by the database and by looking at every filter: three answers that must be one.
@Suite(.timeLimit(.minutes(10)))
struct SubscriptionIndexTests {
  @Test("the index finds whom a deliberately simple filter finds, while they come and go", arguments: 0..<4)
  func index(round: Int) throws {
    let seed = UInt64.random(in: .min ... .max)
    let world = RandomFeed(random: SeededRandom(seed))
    var index = SubscriptionIndex<Int>()
    var listeners: [Int: FeedFilter] = [:]
    var hits = 0
    for number in 0..<400 {
      if world.number(3) == 0, !listeners.isEmpty {
        let gone = world.pick(listeners.keys.sorted())
        listeners[gone] = nil
        index.remove(gone)
      } else {
        let filter = listeners.isEmpty || world.number(4) > 0 ? world.filter() : world.pick(Array(listeners.values))
        listeners[number] = filter
        index.insert(number, filter)
      }
      let message = world.message(number)
      let found = try index.matches(message).flatMap { index.members(of: $0) }
      let expected = listeners.filter { PlainFilter(filter: $0.value).matches(message) }
      #expect(found.sorted() == expected.keys.sorted(), "seed \(seed) message \(number)")
      hits += found.count
    }
    #expect(index.count == listeners.count)
    #expect(hits > 100, "seed \(seed): nothing was tried")
  }

  @Test("the database finds in a feed what the simple filter finds there")
  func database() async throws {
    let seed = UInt64.random(in: .min ... .max)
    let world = RandomFeed(random: SeededRandom(seed))
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("feed-\(UUID().uuidString)")
    let store = try SQLiteMessageStore(path: folder.appendingPathComponent("node.sqlite").path)
    let tenant = Person("alice").did
    let messages = (0..<150).map { world.message($0) }
    try await store.write(tenant) { transaction in
      for message in messages { try transaction.insert(message, content: nil) }
    }
    var hits = 0
    for _ in 0..<150 {
      let filter = world.filter()
      let found = try await store.read(tenant) { reader in
        try reader.feed(FeedSpan(after: 0, through: 1000, limit: 1000, filter: filter)).map(\.position)
      }
      // Of what does not stand for its record the tags are not in the index.
      let expected = messages.indices.filter { index in
        var message = messages[index]
        if !message.isLatest { message.content?.tags = nil }
        if !message.isLatest { message.ended?.tags = nil }
        return PlainFilter(filter: filter).matches(message)
      }
      #expect(found == expected.map { Int64($0 + 1) }, "seed \(seed) \(filter)")
      hits += found.count
    }
    #expect(hits > 100, "seed \(seed): nothing was tried")
    await store.close()
    try? FileManager.default.removeItem(at: folder)
  }

  private func write(to recipient: DID?) throws -> StoredMessage {
    var message = RandomFeed(random: SeededRandom(1)).message(1)
    let context = try #require(ContextID("r"))
    message.kind = .write
    message.isLatest = true
    message.protocolURI = "https://example.org/one"
    message.place = StoredMessage.Place(
      recordID: context.record, contextID: context, path: "x", recipient: recipient, schema: nil,
      dateCreated: message.timestamp)
    return message
  }

  @Test("a message costs what it matches: of ten thousand who listen elsewhere none is looked at")
  func cost() throws {
    var index = SubscriptionIndex<Int>()
    for number in 0..<10_000 {
      var filter = RecordsFilter(protocolURI: "https://example.org/one")
      filter.recipient = [try #require(DID("did:example:\(number)"))]
      index.insert(number, .records(filter))
    }
    let message = try write(to: DID("did:example:77"))
    #expect(try index.candidates(for: message) == 1)
    #expect(try index.matches(message).flatMap { index.members(of: $0) } == [77])
  }

  @Test("filters that differ in a tag or in the data alone lie apart, and a tag that nobody asks for costs nothing")
  func tags() throws {
    var index = SubscriptionIndex<Int>()
    for number in 0..<10_000 {
      var filter = RecordsFilter(protocolURI: "https://example.org/one")
      switch number % 3 {
      case 0: filter.tags["n"] = .equals(.integer(Int64(number)))
      case 1: filter.tags = ["m": .startsWith("x"), "n": .equals(.string("text \(number)"))]
      default: filter.dataCID = CID(of: .integer(Int64(number))).text
      }
      index.insert(number, .records(filter))
    }
    var message = try write(to: nil)
    func found(_ tags: JSONObject, data: Int = -1) throws -> [Int] {
      message.content = StoredMessage.Content(
        dataFormat: "f", dataCID: CID(of: .integer(Int64(data))), dataSize: 1, isPublished: false, isSquash: false,
        isInitial: true, tags: tags)
      #expect(try index.candidates(for: message) <= 3)
      return try index.matches(message).flatMap { index.members(of: $0) }.sorted()
    }
    #expect(try found(["n": 300]) == [300])
    #expect(try found(["n": ["text 301", 300, true], "m": "xyz"], data: 302) == [300, 301, 302])
    #expect(try found(["n": "text 301", "m": "y", "o": 300]) == [])
    for number in 0..<10_000 { index.remove(number) }
    #expect(index.count == 0)
    #expect(try found(["n": 300]) == [])
  }
}
