import DWN
import GRDB
import Testing
import Wire

@testable import DWNNode

/// A question and the indexes that its answer may use, the one that it begins with first.
struct PlannedQuestion: Sendable, CustomTestStringConvertible {
  let name: String
  let indexes: [String]
  let ask: @Sendable (SQLiteTransaction) throws -> Void

  init(_ name: String, indexes: [String], ask: @escaping @Sendable (SQLiteTransaction) throws -> Void) {
    self.name = name
    self.indexes = indexes
    self.ask = ask
  }

  init(_ name: String, _ indexes: String..., ask: @escaping @Sendable (SQLiteTransaction) throws -> Void) {
    self.init(name, indexes: indexes, ask: ask)
  }

  var testDescription: String { name }
}

extension PlannedQuestion {
  static let record = RecordID("r")!
  private static let context = ContextID("r/s")!
  private static let place = SiblingPlace(
    protocolURI: SampleMessages.protocolURI, path: "box/item", parent: ContextID(root: record))
  private static let message = SampleMessages.write("r")
  private static let messages = [
    MessagesFilter(protocolURI: SampleMessages.protocolURI, pathPrefix: "box", contextPrefix: "r"),
    MessagesFilter(pathPrefix: "box/item"),
  ]

  static let readings: [PlannedQuestion] = [
    PlannedQuestion("messages of a record", "message_record") { _ = try $0.messages(of: record) },
    PlannedQuestion("where a record stands", "message_record") { _ = try $0.place(of: record) },
    PlannedQuestion("the definition with a payload", "message_element") { _ = try $0.configure(element: "e") },
    PlannedQuestion("the message with a CID", "message_cid") { _ = try $0.message(cid: "c") },
    PlannedQuestion("records below a record", "message_parent") { _ = try $0.children(of: record) },
    PlannedQuestion("messages by a grant", "message_grant") {
      _ = try $0.messages(authorizedBy: record, after: SampleMessages.time(0))
    },
    PlannedQuestion("a definition", "message_configure") { _ = try $0.configure(of: "p") },
    PlannedQuestion("a definition of a time", "message_configure") {
      _ = try $0.configureCID(of: "p", at: SampleMessages.time(0))
    },
    PlannedQuestion("newest definitions of a protocol", "message_configure") {
      _ = try $0.configures(DefinitionPage(protocolURI: "p"))
    },
    PlannedQuestion("all newest definitions", "message_configure") {
      _ = try $0.configures(DefinitionPage(onlyPublished: true, after: "p", limit: 9))
    },
    PlannedQuestion("where a protocol limits records", "query_rule_limit") {
      _ = try $0.recordLimits(of: "p", at: "box", atMost: 9)
    },
    PlannedQuestion("where any protocol limits records", "query_rule_limit") {
      _ = try $0.recordLimits(of: nil, at: nil, atMost: 9)
    },
    PlannedQuestion("whether records stand deeper", "query_rule_deep") {
      _ = try $0.hangsDeeper(below: "box", of: "p")
    },
    PlannedQuestion("the fingerprint of a feed", "tenant_rowid") { _ = try $0.fingerprint() },
    PlannedQuestion("who holds a role", "message_recipient") {
      _ = try $0.roleRecord(place, recipient: SampleMessages.bob)
    },
    PlannedQuestion("the newest squash", "message_squash") { _ = try $0.newestSquash(at: place) },
    PlannedQuestion("younger siblings", "message_siblings", "message_record") {
      _ = try $0.firstWrites(at: place, after: RecordCreation(time: SampleMessages.time(0), record: record), atMost: 1)
    },
    PlannedQuestion("what the tenant wrote below", "message_context") {
      _ = try $0.hasTenants(at: ContextID(root: record), withoutGrant: record)
    },
    PlannedQuestion("records of others", "message_siblings", "message_record") {
      _ = try $0.count(at: place, byOthersThan: SampleMessages.alice)
    },
    PlannedQuestion("a stranger's records", "message_anyone", "message_record") {
      _ = try $0.countByAnyone(at: place, author: SampleMessages.bob, notEndedBy: SampleMessages.alice)
    },
    PlannedQuestion("records of a path in clear", "message_path") {
      _ = try $0.hasWrite(at: place.path, of: place.protocolURI, isEncrypted: false)
    },
    PlannedQuestion("strangers' oldest record", "message_arrived", "message_record", "message_context") {
      _ = try $0.oldestByAnyone(
        at: place, arrivedBefore: SampleMessages.time(0), notEndedBy: SampleMessages.alice)
    },
    PlannedQuestion("data", "message_cid", "tenant_rowid") { _ = try $0.content(of: message.holdingData) },
    PlannedQuestion("an author's sums", "guest_rowid") { _ = try $0.usage(ofGuest: SampleMessages.bob) },
    PlannedQuestion("sums and head", "tenant_rowid") {
      _ = try $0.usage()
      _ = try $0.shares()
      _ = try $0.head()
    },
    PlannedQuestion("the feed", "message_feed") { _ = try $0.feed(FeedSpan(after: 0, through: 9, limit: 9)) },
    PlannedQuestion("a filtered feed", "message_feed") {
      _ = try $0.feed(FeedSpan(after: 0, through: 9, limit: 9, filter: .records(RecordsFilter(path: "box"))))
    },
    PlannedQuestion("a page of a MessagesQuery", "message_feed", "tag_message") {
      _ = try $0.feed(FeedSpan(after: 0, through: 9, limit: 9, filter: .messages(messages)))
    },
    PlannedQuestion("the fingerprint of a MessagesQuery", "message_feed", "tag_message") {
      try $0.forEachCID(in: FeedSpan(after: 0, through: 9, limit: .max, filter: .messages(messages))) { _ in }
    },
    PlannedQuestion("a grant that is invoked", "message_record") {
      _ = try GrantRules(tenant: SampleMessages.alice, reader: $0).stored(record)
    },
    PlannedQuestion("siblings before a squash", "message_siblings", "message_record") {
      _ = try $0.siblings(at: place, olderThan: SampleMessages.time(0))
    },
    PlannedQuestion("siblings beyond a limit", "message_place") { _ = try $0.oldest(at: place, beyond: 3) },
  ]

  static let changes: [PlannedQuestion] = [
    PlannedQuestion("a message leaves", "message_cid", "tag_message", "query_rule_message") { try $0.remove(message) },
    PlannedQuestion("a message steps back", "tag_message", "message_cid", "query_rule_message") {
      try $0.demote(message)
    },
    PlannedQuestion("a subtree goes", "message_context", "tag_message", "query_rule_message") {
      try $0.erase(below: context, includingRecord: true)
    },
  ]

  static let selections: [PlannedQuestion] = [
    selecting("one record", "message_record") { $0.filter = RecordsFilter(recordID: record) },
    selecting("a place", "message_place") { $0.filter = filter("box/item", below: ContextID(root: record)) },
    selecting("a place by update", "message_siblings") {
      $0.filter = filter("box/item", below: ContextID(root: record))
      $0.sort = .updatedDescending
    },
    selecting("a path in a subtree", "message_place") {
      $0.filter = filter("box/item/part", below: ContextID(root: record))
    },
    selecting("a subtree", "message_context") { $0.filter = RecordsFilter(contextID: context) },
    selecting("a path without a protocol in a subtree", "message_context") {
      $0.filter = RecordsFilter(path: "box/item/part", contextID: context)
    },
    selecting("children", "message_parent") { $0.filter = RecordsFilter(parentID: record) },
    selecting("a path", "message_path") { $0.filter = filter("box") },
    selecting("a protocol", "message_protocol") { $0.filter = RecordsFilter(protocolURI: SampleMessages.protocolURI) },
    selecting("published records of a path", "message_public") {
      $0.filter = filter("box")
      $0.visibility = .published
    },
    selecting("what somebody may see", "message_public", "message_author", "message_recipient") {
      $0.filter = filter("box")
      $0.visibility = .publishedAndOwn(SampleMessages.bob)
    },
    selecting("somebody's records", "message_author") { $0.filter.author = [SampleMessages.bob] },
    selecting("records for somebody", "message_recipient") {
      $0.filter.recipient = [SampleMessages.bob, SampleMessages.carol]
    },
    selecting("a schema", "message_schema") { $0.filter.schema = "s" },
    selecting("certain data", "message_data") { $0.filter.dataCID = "c" },
    selecting("a tag's text", "message_rowid", "tag_text", "tag_message") { $0.filter.tags["x"] = .equals("a") },
    selecting("a tag's number", "message_rowid", "tag_number", "tag_message") { $0.filter.tags["x"] = .equals(1) },
    selecting("a tag's truth", "message_rowid", "tag_bool", "tag_message") { $0.filter.tags["x"] = .equals(true) },
    selecting("everything", "message_created") { $0.filter.dataFormat = "f" },
    selecting("everything by update", "message_updated") {
      $0.filter.dataFormat = "f"
      $0.sort = .updatedAscending
    },
    selecting("everything by publication", "message_published") {
      $0.filter.dataFormat = "f"
      $0.sort = .publishedDescending
    },
    selecting("where only so many are shown", "message_place") {
      $0.filter = filter("box/item", below: ContextID(root: record))
      $0.occupancy = [.init(protocolURI: SampleMessages.protocolURI, path: "box/item", maximum: 3)]
    },
  ]

  static func filter(_ path: ProtocolPath, below context: ContextID? = nil) -> RecordsFilter {
    RecordsFilter(protocolURI: SampleMessages.protocolURI, path: path, contextID: context)
  }

  private static func selecting(
    _ name: String, _ indexes: String..., change: @Sendable (inout Selection) -> Void
  ) -> PlannedQuestion {
    var selection = Selection(filter: RecordsFilter(), visibility: .all, limit: 10)
    change(&selection)
    return PlannedQuestion(name, indexes: indexes) { [selection] transaction in
      _ = try transaction.find(selection)
      _ = try transaction.count(selection)
    }
  }
}
