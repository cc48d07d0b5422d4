import DWN
import Foundation
import GRDB
import Identity
import Testing
import Wire

@testable import DWNNode

/// Every question that the node asks of its database begins with the index that was made for it: what it costs follows what it
/// finds, not what there is.
@Suite(.timeLimit(.minutes(10)))
struct QueryPlanTests {
  @Test("a question of the rules begins with its index", arguments: PlannedQuestion.readings + PlannedQuestion.changes)
  func rules(question: PlannedQuestion) throws { try check(question) }

  @Test("a query begins with the narrowest of its conditions", arguments: PlannedQuestion.selections)
  func selections(question: PlannedQuestion) throws { try check(question) }

  @Test("a page of a place, of a path or of a protocol comes in the order of its index, without sorting")
  func order() throws {
    for filter in [
      PlannedQuestion.filter("box/item", below: ContextID(root: PlannedQuestion.record)), PlannedQuestion.filter("box"),
      RecordsFilter(protocolURI: SampleMessages.protocolURI),
    ] {
      let selection = Selection(filter: filter, visibility: .all, limit: 10)
      let plan = try self.plan { _ = try $0.find(selection) }
      #expect(!plan.contains { $0.contains("TEMP B-TREE") }, "\(filter.json.text): \(plan)")
    }
  }

  private func check(_ question: PlannedQuestion) throws {
    let plan = try plan(question.ask)
    #expect(!plan.isEmpty)
    let scans = plan.filter { $0.hasPrefix("SCAN message") || $0.hasPrefix("SCAN tag") || $0.hasPrefix("SCAN tenant") }
    #expect(scans.isEmpty, "\(plan)")
    let used = plan.compactMap(Self.index)
    #expect(used.first == question.indexes.first, "\(plan)")
    #expect(Set(used).subtracting(Self.always).isSubset(of: question.indexes), "\(plan)")
  }

  /// What goes by the row's own number, which is the table.
  private static let always: Set<String> = [
    "message_rowid", "tag_rowid", "large_data_rowid", "data_file_rowid", "tenant_rowid",
  ]

  /// The index that a step of a plan searches.
  private static func index(_ step: String) -> String? {
    guard step.hasPrefix("SEARCH ") || step.hasPrefix("SCAN ") else { return nil }
    let words = step.split(separator: " ").map(String.init)
    if let at = words.firstIndex(of: "INDEX") { return words[at + 1] }
    return words.contains("PRIMARY") ? "\(words[1])_rowid" : nil
  }

  /// The steps of all statements that a question runs.
  private func plan(_ ask: @escaping (SQLiteTransaction) throws -> Void) throws -> [String] {
    let queue = try DatabaseQueue()
    return try queue.inDatabase { database in
      for step in NodeSchema.steps { try step.apply(database) }
      try database.execute(sql: "INSERT INTO tenant (id, did) VALUES (1, 'did:a:1')")
      var statements: [String] = []
      let folder = DataFolder(path: "/nowhere", largestStaging: 0, random: SystemRandom())
      let transaction = SQLiteTransaction(
        SQLiteMessages(database: database, tenant: 1, folder: folder), at: DID("did:a:1")!)
      database.trace { if case .statement(let statement) = $0 { statements.append(statement.sql) } }
      try ask(transaction)
      database.trace()
      return try statements.filter { !$0.hasPrefix("--") }.flatMap { sql in
        let statement = try database.makeStatement(sql: "EXPLAIN QUERY PLAN " + sql)
        // A plan needs no values.
        statement.setUncheckedArguments(StatementArguments())
        return try Row.fetchAll(statement).map { $0["detail"] as String }
      }
    }
  }
}
