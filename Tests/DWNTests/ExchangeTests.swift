import DWN
import Identity
import TestSupport
import Testing
import Wire

@Suite("Replies")
struct ReplyTests {
  private let workshop = MessageWorkshop()

  @Test("a reply survives being written and read")
  func roundTrip() throws {
    let reply = Reply(.init(200, "OK"), members: ["entries": [], "cursor": ["messageCid": "x", "value": 1]])
    #expect(Reply(reply.json) == reply)
    let refusal = Reply(DWNError(400, "SomeCode", "because"))
    #expect(refusal.status.detail == "SomeCode: because")
    #expect(!refusal.status.isSuccess && reply.status.isSuccess)
  }

  @Test("of what a node says as much is kept as a person reads, in scalars: a letter may bear any number of marks")
  func longDetail() {
    for detail in [String(repeating: "x", count: 100_000), "x" + String(repeating: "\u{301}", count: 100_000)] {
      let reply = Reply(["status": ["code": 400, "detail": .string(detail)]])
      #expect(reply?.status.detail.unicodeScalars.count == 500)
    }
    #expect(Reply(["status": ["code": 400, "detail": "short"]])?.status.detail == "short")
  }

  @Test(
    "what has no status is no reply",
    arguments: ["{}", "[]", #"{"status":200}"#, #"{"status":{"code":"200"}}"#, #"{"status":{"code":99}}"#])
  func noStatus(text: String) throws {
    #expect(Reply(try JSONValue(parsing: text)) == nil)
  }

  @Test("the members that belong to a reply are taken off its entries, in each of their forms")
  func entries() throws {
    let write = workshop.write.message.value
    let initial = workshop.changing(workshop.plainWrite.message.value, "encodedData", to: "e30")
    let flat = workshop.changing(
      workshop.changing(write, "encodedData", to: "aGVsbG8"), "initialWrite", to: initial)
    let wrapped: JSONValue = ["recordsWrite": write, "encodedData": "aGVsbG8", "initialWrite": initial]
    let inner: JSONValue = ["recordsWrite": flat]
    let reply = Reply(.init(200, "OK"), members: ["entries": [flat, wrapped, inner, write, "x"]])
    #expect(reply.entries.count == 4)
    for entry in reply.entries.prefix(3) {
      #expect(entry.message == write)
      #expect(entry.data == Array("hello".utf8))
      #expect(entry.initialWrite == workshop.plainWrite.message.value)
      #expect(throws: Never.self) { try workshop.check(entry.message) }
    }
    #expect(reply.entries[3] == ReplyEntry(message: write))
  }

  @Test("an entry is written as it is read")
  func entryRoundTrip() {
    let entry = ReplyEntry(
      message: workshop.write.message.value, data: [1, 2], initialWrite: workshop.plainWrite.message.value)
    #expect(ReplyEntry(entry.json) == entry)
  }

  @Test("the record of a read is found in each place where nodes put its data")
  func read() throws {
    let write = workshop.write.message.value
    let data = Array("hello".utf8)
    let beside = Reply(.init(200, "OK"), members: ["entry": ["recordsWrite": write]], data: data)
    let inside = Reply(
      .init(200, "OK"), members: ["entry": ["recordsWrite": workshop.changing(write, "encodedData", to: "aGVsbG8")]])
    let outside = Reply(.init(200, "OK"), members: ["entry": ["recordsWrite": write, "encodedData": "aGVsbG8"]])
    for reply in [beside, inside, outside] {
      #expect(reply.entry?.message == write)
      #expect(reply.entry?.data == data)
    }
  }

  @Test("a record that was deleted comes with its delete")
  func deleted() {
    let delete = workshop.signer.recordsDelete(workshop.write.recordID, prune: true, at: workshop.time).message.value
    let reply = Reply(
      .init(404, "Not Found"),
      members: ["entry": ["recordsDelete": delete, "initialWrite": workshop.write.message.value]])
    #expect(reply.entry?.message == delete)
    #expect(reply.entry?.initialWrite == workshop.write.message.value)
    #expect(reply.entry?.data == nil)
  }

  @Test("an entry that is not canonical base64url gives no data")
  func badData() {
    let json = workshop.changing(workshop.write.message.value, "encodedData", to: "aGVsbG9=")
    #expect(ReplyEntry(json)?.data == nil)
  }
}

@Suite("Filters")
struct RecordsFilterTests {
  @Test("a filter survives being written and read")
  func roundTrip() throws {
    let did = try #require(DID("did:example:a"))
    let other = try #require(DID("did:example:b"))
    let time = try #require(WallTime(timestamp: "2026-11-21T12:00:00.000000Z"))
    var full = RecordsFilter(
      protocolURI: "https://example.com/p", path: "a/b", recordID: RecordID("r"), parentID: RecordID("p"),
      contextID: ContextID("a/b"), recipient: [did, other],
      tags: [
        "text": .equals("x"), "flag": .equals(true), "number": .equals(1), "start": .startsWith("y"),
        "range": .range(lower: nil, upper: nil),
      ], dateUpdated: .init(from: time, to: time + .seconds(1)))
    full.tags["range"] = try RecordsFilter(["tags": ["x": ["gt": 1, "lte": 5]]]).tags["x"]
    full.author = [did]
    full.schema = "https://example.com/s"
    full.dataFormat = "text/plain"
    full.dataCID = "x"
    full.published = true
    full.dataSize = 1...5
    full.dateCreated = .init(from: time)
    full.datePublished = .init(to: time)
    #expect(try RecordsFilter(JSONValue(parsing: full.json.text)) == full)
    #expect(try RecordsFilter(["recipient": []]).recipient.isEmpty)
  }

  @Test(
    "a range of sizes is one of numbers, and holds the whole ones in it",
    arguments: [
      (#"{"gt":1,"lt":5}"#, 2...4), (#"{"gt":1.5}"#, 2...JSONValue.greatestInteger), (#"{"gte":1.5,"lte":3.5}"#, 2...3),
      (#"{"lt":1.5}"#, 0...1), (#"{"gte":-7,"lt":1}"#, 0...0),
      // In these lies no size.
      (#"{"gt":5,"lt":3}"#, -1 ... -1), (#"{"gt":1,"lt":2}"#, -1 ... -1), (#"{"lt":0}"#, -1 ... -1),
      (#"{"gt":9007199254740991}"#, -1 ... -1), (#"{"lt":-9007199254740991}"#, -1 ... -1),
    ] as [(String, ClosedRange<Int64>)])
  func sizes(text: String, expected: ClosedRange<Int64>) throws {
    #expect(try RecordsFilter(["dataSize": JSONValue(parsing: text)]).dataSize == expected)
  }

  @Test(
    "a malformed filter is refused",
    arguments: [
      "[]", "{}", #"{"x":1}"#, #"{"protocol":"Example.com"}"#, #"{"schema":"https://e.x/"}"#, #"{"protocolPath":"a1"}"#,
      #"{"recordId":""}"#, #"{"contextId":"a//b"}"#, #"{"author":"x"}"#, #"{"recipient":[1]}"#, #"{"recipient":{}}"#,
      #"{"published":1}"#, #"{"dataSize":{}}"#, #"{"dataSize":{"gt":1,"gte":2}}"#, #"{"dataSize":{"lt":3,"lte":2}}"#,
      #"{"dataSize":{"x":1}}"#, #"{"dataSize":{"gt":"1"}}"#,
      #"{"dateCreated":{}}"#, #"{"dateCreated":{"from":"2026"}}"#,
      #"{"dateUpdated":{"x":"2026-11-21T12:00:00.000000Z"}}"#, #"{"tags":{}}"#, #"{"tags":{"a":null}}"#,
      #"{"tags":{"a":[1]}}"#,
      #"{"tags":{"a":{}}}"#, #"{"tags":{"a":{"gt":1,"gte":1}}}"#, #"{"tags":{"a":{"lt":1,"lte":1}}}"#,
      #"{"tags":{"a":{"gt":true}}}"#, #"{"tags":{"a":{"startsWith":1}}}"#,
      #"{"tags":{"a":{"startsWith":"x","gt":"y"}}}"#,
      #"{"published":false,"datePublished":{"from":"2026-11-21T12:00:00.000000Z"}}"#,
    ])
  func malformed(text: String) throws {
    let json = try JSONValue(parsing: text)
    let error = #expect(throws: DWNError.self) { try RecordsFilter(json) }
    #expect(error?.status == 400)
  }

  @Test("a date range includes its beginning and not its end")
  func dates() throws {
    let time = WallTime(seconds: 100)
    let range = RecordsFilter.DateRange(from: time, to: time + .seconds(1))
    #expect(range.contains(time))
    #expect(!range.contains(time + .seconds(1)))
    #expect(!range.contains(WallTime(microseconds: time.microseconds - 1)))
    #expect(RecordsFilter.DateRange().contains(time))
  }
}
