import DWN
import Foundation
import Identity
import TestSupport
import Testing
import Wire

@testable import DWNNode

/// Random records and random queries, answered by the node and by a model that looks at every record one by one
/// (dwn-server 5.2, dwn-messages 6).
@Suite(.timeLimit(.minutes(10)))
struct QueryModelTests {
  struct Held {
    var write: RecordsWrite
    var data: [UInt8]
  }

  let tenancy: TestTenancy
  let people: [Person]
  let paths: [ProtocolPath] = ["box", "box/item", "bag"]

  init() async throws {
    tenancy = try TestTenancy()
    people = [tenancy.alice, tenancy.bob, tenancy.carol]
    let anyone = #""$actions": [{"who": "anyone", "can": ["create", "update", "co-update"]}]"#
    let reply = try await tenancy.install("{\"box\": {\(anyone), \"item\": {\(anyone)}}, \"bag\": {\(anyone)}}")
    #expect(reply.status.code == 202, "\(reply.status)")
  }

  @Test("filters, visibility, order and pages are those of the model", arguments: 0..<4)
  func model(round: Int) async throws {
    let seed = UInt64.random(in: .min ... .max)
    let random = SeededRandom(seed)
    let held = try await fill(random, count: 60)
    for number in 0..<60 {
      let reader = people.pick(random)
      let filter = filter(random, held)
      // Unpublished records cannot be sorted by publication.
      let sorts = filter.published == false ? DateSort.all.filter { !$0.rawValue.hasPrefix("published") } : DateSort.all
      let sort = random.flip() ? nil : sorts.pick(random)
      let limit = random.flip() ? nil : Int(random.uniform(below: 7)) + 1
      let expected = model(held, filter, sort ?? .createdAscending, reader)
      let label: Comment =
        "seed \(seed) query \(number): \(filter.json.text) by \(people.firstIndex { $0.did == reader.did } ?? 9)"
      let found = try await pages(reader, filter, sort, limit, label)
      #expect(found == expected.map(\.write.cid.text), label)
    }
  }

  /// Follows cursors to the end.
  private func pages(
    _ reader: Person, _ filter: RecordsFilter, _ sort: DateSort?, _ limit: Int?, _ label: Comment
  ) async throws -> [String] {
    var found: [String] = []
    var cursor: Pagination.Cursor?
    for _ in 0..<200 {
      let page = limit == nil && cursor == nil ? nil : Pagination(limit: limit, cursor: cursor)
      let reply = try await tenancy.send(
        reader.signer.recordsQuery(filter, sort: sort, pagination: page, at: tenancy.tick()))
      #expect(reply.status.code == 200, "\(label) \(reply.status)")
      let entries = reply.entries
      if let limit { #expect(entries.count <= limit, label) }
      found += entries.map { CID(of: $0.message).text }
      guard let next = reply.members["cursor"].flatMap({ Pagination.Cursor($0) }) else { return found }
      #expect(!entries.isEmpty, label)
      cursor = next
    }
    Issue.record("pages without end")
    return found
  }

  private func fill(_ random: SeededRandom, count: Int) async throws -> [Held] {
    var held: [Held] = []
    let base = tenancy.tick()
    for _ in 0..<count {
      let author = people.pick(random)
      let boxes = held.filter { $0.write.path == "box" }
      let path = boxes.isEmpty ? "box" : paths.pick(random)
      // Few distinct times, so that ties happen.
      let time = base + .milliseconds(Int64(random.uniform(below: 20)))
      if !held.isEmpty, random.uniform(below: 4) == 0 {
        let index = Int(random.uniform(below: UInt64(held.count)))
        var draft = RecordDraft(updating: held[index].write, data: data(random))
        draft.published = random.flip() ? nil : random.flip()
        draft.tags = tags(random)
        let write = author.signer.recordsWrite(
          draft, at: held[index].write.timestamp + .milliseconds(Int64(1 + random.uniform(below: 9))))
        #expect(try await tenancy.status(write.signed, data: draft.data) == "202")
        held[index] = Held(write: write, data: draft.data)
      } else {
        var draft = tenancy.draft(
          path, below: path == "box/item" ? boxes.pick(random).write : nil,
          to: random.flip() ? nil : people.pick(random),
          tags: tags(random), published: random.flip() ? nil : random.flip(),
          schema: random.flip() ? nil : "https://example.org/s")
        draft.data = data(random)
        draft.dataFormat = random.flip() ? "application/json" : "text/plain"
        let write = author.signer.recordsWrite(draft, at: time)
        let status = try await tenancy.status(write.signed, data: draft.data)
        // Two equal drafts at one time are one message.
        #expect(status == "202" || (status == "409" && held.contains { $0.write.cid == write.cid }))
        if status == "202" { held.append(Held(write: write, data: draft.data)) }
      }
    }
    return held
  }

  private func data(_ random: SeededRandom) -> [UInt8] { random.bytes(Int(random.uniform(below: 6))) }

  private let values: [JSONValue] = ["a", "ab", "b", 1, 2, .number(1.5), true, false, "1"]

  private func tags(_ random: SeededRandom) -> JSONObject? {
    guard random.flip() else { return nil }
    var tags = JSONObject()
    tags["x"] = values.pick(random)
    if random.flip() { tags["y"] = .array((0..<3).map { _ in ["a", "ab", "c"].pick(random) }) }
    return tags
  }

  private func filter(_ random: SeededRandom, _ held: [Held]) -> RecordsFilter {
    let sample = held.pick(random).write
    var filter = RecordsFilter(protocolURI: TestTenancy.protocolURI)
    func perhaps(_ change: () -> Void) { if random.uniform(below: 5) == 0 { change() } }
    perhaps {
      filter.contextID = sample.contextID.prefix(1 + Int(random.uniform(below: UInt64(sample.contextID.depth))))
    }
    perhaps { filter.schema = "https://example.org/s" }
    perhaps { filter.recordID = sample.recordID }
    perhaps { filter.parentID = sample.parentID }
    perhaps { filter.author = [people.pick(random).did, people.pick(random).did] }
    perhaps { filter.recipient = [people.pick(random).did] }
    perhaps { filter.published = random.flip() }
    perhaps { filter.dataFormat = "text/plain" }
    perhaps { filter.dataCID = sample.dataCID.text }
    perhaps { filter.dataSize = 2...4 }
    perhaps { filter.dateCreated = range(random, sample.dateCreated) }
    perhaps { filter.dateUpdated = range(random, sample.timestamp) }
    perhaps { if filter.published != false { filter.datePublished = range(random, sample.timestamp) } }
    perhaps { filter.tags["x"] = tagFilter(random) }
    perhaps { filter.tags["y"] = random.flip() ? .startsWith("a") : .equals("c") }
    perhaps {
      filter.path = paths.pick(random)
      if filter.path == "box/item" {
        filter.parentID = nil
        filter.contextID = sample.contextID
      }
    }
    return filter
  }

  private func range(_ random: SeededRandom, _ time: WallTime) -> RecordsFilter.DateRange {
    switch random.uniform(below: 3) {
    case 0: .init(from: time)
    case 1: .init(to: time)
    default: .init(from: time, to: time + .milliseconds(5))
    }
  }

  private func tagFilter(_ random: SeededRandom) -> RecordsFilter.TagFilter {
    switch random.uniform(below: 3) {
    case 0: .equals(values.pick(random))
    case 1: .startsWith("a")
    default: (try? RecordsFilter(["tags": ["x": ["gte": 1, "lt": 2]]]))?.tags["x"] ?? .equals(1)
    }
  }

  // MARK: The model

  private func model(_ held: [Held], _ filter: RecordsFilter, _ sort: DateSort, _ reader: Person) -> [Held] {
    let byPublication = sort == .publishedAscending || sort == .publishedDescending
    func key(_ held: Held) -> (String, String) {
      let time =
        switch sort {
        case .createdAscending, .createdDescending: held.write.dateCreated.timestamp
        case .updatedAscending, .updatedDescending: held.write.timestamp.timestamp
        case .publishedAscending, .publishedDescending: held.write.message.descriptor["datePublished"]?.string ?? ""
        }
      return (time, held.write.cid.text)
    }
    let isAscending = [.createdAscending, .updatedAscending, .publishedAscending].contains(sort)
    return held.filter { held in
      let write = held.write
      let visible =
        write.published || reader.did == tenancy.alice.did
        || (filter.published != true && filter.datePublished == nil
          && (write.author == reader.did || write.recipient == reader.did))
      return visible && (write.published || !byPublication) && matches(write, filter)
    }.sorted { isAscending ? key($0) < key($1) : key($0) > key($1) }
  }

  private func matches(_ write: RecordsWrite, _ filter: RecordsFilter) -> Bool {
    func equal<Value: Equatable>(_ wanted: Value?, _ value: Value?) -> Bool { wanted == nil || wanted == value }
    let published = write.message.descriptor["datePublished"]?.string.flatMap { WallTime(timestamp: $0) }
    return equal(filter.protocolURI, write.protocolURI) && equal(filter.path, write.path)
      && equal(filter.schema, write.schema) && equal(filter.recordID, write.recordID)
      && equal(filter.parentID, write.parentID) && equal(filter.dataFormat, write.dataFormat)
      && equal(filter.dataCID, write.dataCID.text) && equal(filter.published, write.published)
      && (filter.author.isEmpty || filter.author.contains(write.author))
      && (filter.recipient.isEmpty || write.recipient.map { filter.recipient.contains($0) } ?? false)
      && (filter.contextID?.contains(write.contextID) ?? true)
      && (filter.dataSize?.contains(Int64(write.dataSize)) ?? true)
      && (filter.dateCreated?.contains(write.dateCreated) ?? true)
      && (filter.dateUpdated?.contains(write.timestamp) ?? true)
      && (filter.datePublished == nil || published.map { filter.datePublished!.contains($0) } ?? false)
      && filter.tags.allSatisfy { name, condition in
        guard let value = write.tags?[name] else { return false }
        return (value.array ?? [value]).contains { holds(condition, $0) }
      }
  }

  private func holds(_ condition: RecordsFilter.TagFilter, _ value: JSONValue) -> Bool {
    switch condition {
    case .equals(let wanted): return value == wanted
    case .startsWith(let prefix): return value.string?.hasPrefix(prefix) ?? false
    case .range:
      // The only range that is made here is from 1, inclusive, to 2, exclusive.
      return value.double.map { (1..<2).contains($0) } ?? false
    }
  }
}

extension DateSort {
  fileprivate static let all: [DateSort] = [
    .createdAscending, .createdDescending, .publishedAscending, .publishedDescending, .updatedAscending,
    .updatedDescending,
  ]
}

extension SeededRandom {
  fileprivate func flip() -> Bool { uniform(below: 2) == 0 }
}

extension Array {
  fileprivate func pick(_ random: SeededRandom) -> Element { self[Int(random.uniform(below: UInt64(count)))] }
}
