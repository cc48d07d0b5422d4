import DWN
import Identity
import TestSupport
import Wire

@testable import DWNNode

/// Random messages, changes and questions from a small world, so that they concern each other.
struct RandomMessages {
  struct Change: Sendable {
    let apply: @Sendable (any MessageTransaction) throws -> String
    func apply(to transaction: any MessageTransaction) throws -> String { try apply(transaction) }
  }

  struct Question: Sendable {
    let name: String
    let answer: @Sendable (any MessageReader) throws -> [String]
  }

  let random: SeededRandom
  private var made: [StoredMessage] = []
  private var number = 0

  init(_ random: SeededRandom) { self.random = random }

  private static let protocols = ["https://example.org/a", "https://example.org/b", PermissionsProtocol.uri]
  private static let tags: [JSONValue] = [
    "alpha", "alp", "ALPHA", "", "\u{e9}", "e\u{301}", 1, .number(1.5), -2, true, false, ["alpha", 7], ["b"], "true",
    "1",
  ]
  private let paths: [ProtocolPath] = ["box", "box/item", "box/item/part"]

  private func pick<Value>(_ values: [Value]) -> Value { values[Int(random.uniform(below: UInt64(values.count)))] }
  private func chance(_ one: UInt64) -> Bool { random.uniform(below: one) == 0 }
  func person() -> DID { pick(SampleMessages.people) }
  private func time() -> WallTime { SampleMessages.time(Int(random.uniform(below: 25))) }
  private func record() -> RecordID { RecordID("r\(random.uniform(below: 12))")! }

  private func context(depth: Int) -> ContextID {
    (1..<depth).reduce(ContextID(root: record())) { context, _ in ContextID(context, record()) }
  }

  private func siblingPlace() -> SiblingPlace {
    if let place = made.isEmpty ? nil : pick(made).place {
      return SiblingPlace(protocolURI: pick(Self.protocols), path: place.path, parent: place.contextID.parent)
    }
    return SiblingPlace(protocolURI: pick(Self.protocols), path: "box", parent: nil)
  }

  // MARK: Messages

  private mutating func message() -> StoredMessage {
    number += 1
    var message = StoredMessage(
      kind: chance(8) ? .configure : chance(6) ? .delete : .write, cid: "cid\(random.uniform(below: 1000))-\(number)",
      element: "element\(number)", author: person(), timestamp: time(), json: "{}", protocolURI: pick(Self.protocols),
      isLatest: !chance(3))
    message.attester = chance(4) ? person() : nil
    message.grantID = chance(4) ? record() : nil
    message.share = pick([.tenant, .member, .anyone])
    message.arrived = chance(3) ? nil : time()
    if message.kind == .configure {
      message.isPublishedDefinition = chance(2)
      message.queryRules = QueryRules(
        limits: paths.filter { _ in chance(2) }.map { .init(path: $0, maximum: 1 + Int(random.uniform(below: 3))) },
        deepRoots: chance(2) ? ["box"] : [])
    } else {
      let path = pick(paths)
      // Records of the second protocol hang below those of another one, in part.
      let deeper = message.protocolURI == Self.protocols[1] && path.depth > 1 ? Int(random.uniform(below: 3)) : 0
      let context = context(depth: path.depth + deeper)
      message.place = .init(
        recordID: context.record, contextID: context, path: path, recipient: chance(2) ? person() : nil,
        schema: chance(2) ? "https://example.org/s" : nil, dateCreated: time())
    }
    if message.kind == .write { addContent(to: &message) }
    if message.kind == .delete {
      let isPublished = chance(2)
      message.ended = .init(
        isPublished: isPublished, datePublished: isPublished ? time() : nil,
        tags: chance(2) ? ["x": pick(Self.tags)] : nil)
    }
    made.append(message)
    return message
  }

  private func addContent(to message: inout StoredMessage) {
    var tags = JSONObject()
    for name in ["x", "y"] where chance(2) { tags[name] = pick(Self.tags) }
    if chance(3) { tags["protocol"] = .string(Self.protocols[0]) }
    let isPublished = chance(2)
    message.content = .init(
      dataFormat: pick(["text/plain", "application/json"]), dataCID: DataCID.of([UInt8(random.uniform(below: 5))]),
      dataSize: Int(random.uniform(below: 6)), isPublished: isPublished, datePublished: isPublished ? time() : nil,
      isSquash: chance(4), isInitial: !chance(3), tags: tags.isEmpty ? nil : tags)
    message.json = SampleMessages.json(tags.isEmpty ? nil : tags, isEncrypted: chance(2))
  }

  // MARK: Changes

  mutating func changes() -> [Change] {
    (0...random.uniform(below: 3)).map { _ in
      guard chance(3), !made.isEmpty else { return insertion() }
      let message = pick(made)
      switch random.uniform(below: 3) {
      case 0:
        return Change { transaction in
          try transaction.demote(message)
          return "demoted"
        }
      case 1:
        return Change { transaction in
          try transaction.remove(message)
          return "removed"
        }
      default:
        let context = message.place?.contextID ?? context(depth: 1)
        let includingRecord = chance(2)
        return Change { transaction in
          try transaction.erase(below: context, includingRecord: includingRecord)
          return "erased"
        }
      }
    }
  }

  private mutating func insertion() -> Change {
    let message = message()
    let data = message.kind == .write && !chance(3) ? random.bytes(message.content?.dataSize ?? 0) : nil
    return Change { transaction in "at \(try transaction.insert(message, data: data))" }
  }

  // MARK: Questions

  func question() -> Question {
    switch random.uniform(below: 12) {
    case 0...3: return selecting()
    case 4:
      let span = FeedSpan(
        after: Int64(random.uniform(below: 40)), through: Int64(random.uniform(below: 90)),
        limit: 1 + Int(random.uniform(below: 9)), filter: feedFilter())
      return asking("the feed in \(span)") { try $0.feed(span) }
    case 5: return ofRecord()
    case 6: return ofDefinitions()
    case 7...8: return atPlace()
    case 9:
      let (place, time, person) = (siblingPlace(), time(), person())
      // Which of those that came at one time is first is left open.
      return Question(name: "by anyone at \(place) before \(time)") { reader in
        let oldest = try reader.oldestByAnyone(at: place, arrivedBefore: time, notEndedBy: person)
        return ["\(oldest?.arrived?.timestamp ?? "none")"]
      }
    default:
      let (uri, path) = (chance(2) ? nil : pick(Self.protocols), chance(2) ? nil : pick(paths))
      return Question(name: "sums, and rules of \(uri ?? "all") at \(path?.text ?? "all")") { reader in
        [
          "\(try reader.usage()) \(try reader.head()) \(try reader.fingerprint())",
          "\(try uri.map { try reader.hangsDeeper(below: "box", of: $0) } ?? false)",
        ] + (try reader.recordLimits(of: uri, at: path, atMost: .max).map { "\($0)" }).sorted()
      }
    }
  }

  private func asking(
    _ name: String, ordered: Bool = true, _ messages: @escaping @Sendable (any MessageReader) throws -> [StoredMessage]
  ) -> Question {
    Question(name: name) { reader in
      let said = try messages(reader).map { "\($0) \(try reader.data(of: $0) ?? [])" }
      return ordered ? said : said.sorted()
    }
  }

  private func ofRecord() -> Question {
    let (record, time) = (record(), time())
    let known = made.isEmpty ? nil : pick(made)
    switch random.uniform(below: 4) {
    case 0: return asking("messages of \(record)") { try $0.messages(of: record) }
    case 1: return asking("children of \(record)") { try $0.children(of: record) }
    case 2:
      return asking("by the grant \(record)", ordered: false) { try $0.messages(authorizedBy: record, after: time) }
    default:
      return asking("one message") { reader in
        try [reader.message(cid: known?.cid ?? "none"), reader.configure(element: known?.element ?? "none")]
          .compactMap { $0 }
      }
    }
  }

  private func ofDefinitions() -> Question {
    let (uri, time, onlyPublished) = (chance(2) ? nil : pick(Self.protocols), time(), chance(2))
    return asking("definitions of \(uri ?? "all") at \(time)", ordered: false) { reader in
      guard let uri else { return try reader.configures(DefinitionPage(onlyPublished: onlyPublished)) }
      let governing = try reader.configureCID(of: uri, at: time).map { try reader.message(cid: $0) }
      return try reader.configures(DefinitionPage(protocolURI: uri, onlyPublished: onlyPublished))
        + ([try reader.configure(of: uri), governing ?? nil]).compactMap { $0 }
    }
  }

  private func atPlace() -> Question {
    let (place, person, other, time) = (siblingPlace(), person(), person(), time())
    let isEncrypted = chance(2)
    let (creation, context, grant) = (RecordCreation(time: time, record: record()), context(depth: 2), record())
    return Question(name: "at \(place)") { reader in
      [
        "\(try reader.newestSquash(at: place).map(\.timestamp) ?? "never")",
        "\(try reader.count(at: place, byOthersThan: person))",
        "\(try reader.firstWrites(at: place, after: creation, atMost: 2))",
        "\(try reader.hasTenants(at: context, withoutGrant: grant))",
        // If several hold it, which of them is shown is left open.
        "\(try reader.roleRecord(place, recipient: person) != nil)",
        "\(try reader.countByAnyone(at: place, author: person, notEndedBy: other))",
        "\(try reader.hasWrite(at: place.path, of: place.protocolURI, isEncrypted: isEncrypted))",
        "\((try (reader as? any MessageTransaction)?.siblings(at: place, olderThan: time).map(\.cid) ?? []).sorted())",
      ]
    }
  }

  private func selecting() -> Question {
    let sort: DateSort = pick([
      .createdAscending, .createdDescending, .updatedAscending, .updatedDescending, .publishedAscending,
      .publishedDescending,
    ])
    var selection = Selection(
      filter: filter(), visibility: pick([.all, .published, .publishedAndOwn(person())]), includesDeletes: chance(2),
      sort: sort, limit: chance(2) ? nil : 1 + Int(random.uniform(below: 4)))
    selection.hangsDeeper = selection.filter.protocolURI == Self.protocols[1] || chance(2)
    if chance(3) {
      selection.occupancy = [
        .init(protocolURI: pick(Self.protocols), path: pick(paths), maximum: 1 + Int(random.uniform(below: 3)))
      ]
    }
    if chance(3) { selection.after = (time().timestamp, "cid\(random.uniform(below: 1000))") }
    var all = selection
    all.limit = nil
    all.after = nil
    return Question(name: "\(selection)") { [selection, all] reader in
      try reader.find(selection).map { "\($0)" } + ["\(try reader.count(all))"]
    }
  }

  private func feedFilter() -> FeedFilter? {
    switch random.uniform(below: 3) {
    case 0: return nil
    case 1: return .records(filter())
    default:
      return .messages(
        (0..<random.uniform(below: 3)).map { _ in
          var filter = MessagesFilter(
            protocolURI: chance(2) ? nil : pick(Self.protocols), pathPrefix: chance(4) ? pick(paths).text : nil,
            contextPrefix: chance(4) ? context(depth: 1).text : nil)
          if chance(4) { filter.method = pick(["Write", "Delete", "Configure"]) }
          if chance(4) { filter.interface = pick(["Records", "Protocols"]) }
          if chance(4) { filter.timestamp = .init(from: time()) }
          return filter
        })
    }
  }

  private func filter() -> RecordsFilter {
    var filter = RecordsFilter()
    func perhaps(_ change: () -> Void) { if chance(5) { change() } }
    if !chance(3) { filter.protocolURI = pick(Self.protocols) }
    perhaps { filter.path = pick(paths) }
    perhaps { filter.contextID = context(depth: 1 + Int(random.uniform(below: 2))) }
    perhaps { filter.recordID = record() }
    perhaps { filter.parentID = record() }
    perhaps { filter.schema = "https://example.org/s" }
    perhaps { filter.dataFormat = "text/plain" }
    perhaps { filter.dataCID = DataCID.of([UInt8(random.uniform(below: 5))]).text }
    perhaps { filter.dataSize = 1...3 }
    perhaps { filter.author = chance(2) ? [person()] : [SampleMessages.alice, SampleMessages.bob] }
    perhaps { filter.recipient = [person()] }
    perhaps { filter.attester = person() }
    perhaps { filter.published = chance(2) }
    perhaps { filter.dateCreated = .init(from: time(), to: chance(2) ? nil : time()) }
    perhaps { filter.dateUpdated = .init(to: time()) }
    perhaps { if filter.published != false { filter.datePublished = .init(from: time()) } }
    perhaps { filter.tags["x"] = tag() }
    perhaps { filter.tags["y"] = tag() }
    return filter
  }

  private func tag() -> RecordsFilter.TagFilter {
    let ranges: [JSONValue] = [
      ["gte": 1, "lt": 2], ["gt": "a", "lte": "alpha"], ["lt": .number(1.5)], ["gt": -2], ["startsWith": "al"],
      ["startsWith": "e"], ["startsWith": ""],
    ]
    let scalars = Self.tags.filter { $0.array == nil }
    let json = chance(2) ? pick(scalars) : pick(ranges)
    return (try? RecordsFilter(["tags": ["x": json]]))?.tags["x"] ?? .equals("none")
  }
}
