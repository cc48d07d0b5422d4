import DWN
import Foundation
import GRDB
import Testing
import Wire

@testable import DWNNode

/// The look at everything that a node keeps, and how much of it a start has time for.
@Suite(.timeLimit(.minutes(10)))
struct NodeCheckTests {
  private let contents: NodeContents
  private var tenancy: TestTenancy { contents.tenancy }
  private var path: String { tenancy.databasePath }

  init() async throws { contents = try await NodeContents(try TestTenancy()) }

  private func damage(_ sql: String) async throws {
    let queue = try DatabaseQueue(path: path)
    try await queue.write { try $0.execute(sql: sql) }
    try queue.close()
  }

  @Test("a node that is as it has to be has no findings, also while it runs")
  func sound() async throws {
    var steps = 0
    let report = try NodeCheck.run(on: path) { done, total in
      steps += 1
      #expect(done <= total)
    }
    #expect(report.isSound && report.messages > 10 && report.bytes > 1 << 20 && steps == report.messages)
    _ = try await tenancy.write(tenancy.alice, "room", data: "later")
    #expect(try NodeCheck.run(on: path).messages == report.messages + 1)
  }

  @Test("a message, small data and large data that a disk changed are found, each by its message")
  func changed() async throws {
    await tenancy.node.close()
    try await damage(
      """
      UPDATE message SET json = replace(json, '"published":true', '"published":false') WHERE id =
        (SELECT id FROM message WHERE kind = 'write' AND json LIKE '%"published":true%' LIMIT 1);
      UPDATE message SET data = x'00' WHERE id = (SELECT max(id) FROM message WHERE data IS NOT NULL);
      """)
    let folder = DataFolder(path: DataFolder.path(of: path), largestStaging: 0, random: SystemRandom())
    let file = folder.path(of: try #require(try folder.names().first))
    let handle = try #require(FileHandle(forUpdatingAtPath: file))
    try handle.seek(toOffset: 1000)
    try handle.write(contentsOf: Data([0xff, 0xfe]))
    try handle.close()
    let findings = try NodeCheck.run(on: path).findings
    #expect(findings.count == 3, "\(findings)")
    #expect(findings.count { $0.contains("is not what its CID says") } == 1)
    #expect(findings.count { $0.contains("is not what it says") } == 2)
    try FileManager.default.removeItem(atPath: file)
    #expect(try NodeCheck.run(on: path).findings.contains { $0.contains("is not there, or not whole") })
  }

  @Test("a page that cannot be read, and an index that differs from its table, are found")
  func torn() async throws {
    await tenancy.node.close()
    try await damage(
      """
      PRAGMA writable_schema = 1;
      UPDATE sqlite_master SET sql = replace(sql, 'WHERE squash', 'WHERE NOT squash') WHERE name = 'message_squash';
      """)
    #expect(try NodeCheck.run(on: path).findings.contains { StoreRepair.isAboutIndex($0) })
    var bytes = try Data(contentsOf: URL(fileURLWithPath: path))
    bytes.replaceSubrange((bytes.count - 4096)..., with: Data(repeating: 0x5a, count: 4096))
    try bytes.write(to: URL(fileURLWithPath: path))
    do {
      let findings = try NodeCheck.run(on: path).findings
      #expect(findings.contains { !StoreRepair.isAboutIndex($0) })
    } catch {
      guard case .corruptDatabase = error else { throw error }
    }
  }

  @Test("a check ends when its time is up, and what is asked afterwards is answered")
  func bounded() async throws {
    await tenancy.node.close()
    let queue = try DatabaseQueue(path: path)
    #expect(try IntegrityCheck(.indexes, limit: .zero).outcome(queue) == .unfinished)
    #expect(try IntegrityCheck(.indexes, limit: nil).outcome(queue) == .sound)
    // Whether so short a time is enough is the machine's; that the end of it harms nothing is not.
    for microseconds in stride(from: 1, to: 2_000, by: 40) {
      let outcome = try IntegrityCheck(.tables, limit: .microseconds(microseconds)).outcome(queue)
      #expect(outcome == .sound || outcome == .unfinished)
      #expect(try await queue.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM message") } ?? 0 > 0)
    }
    try queue.close()
  }

  @Test("a start that has no time for all of a database says so only after a crash, and serves")
  func hurried() async throws {
    await tenancy.node.close()
    let folder = DataFolder(path: DataFolder.path(of: path), largestStaging: 0, random: SystemRandom())
    for (isClosed, isTold) in [(1, false), (0, true)] {
      try await damage("UPDATE node SET closed_in_order = \(isClosed)")
      var said: [String] = []
      let pool = try StoreRepair.open(path: path, folder: folder, check: .init(.indexes, limit: .zero)) {
        said.append($0)
      }
      #expect(said.contains { $0.contains("meshd dwn check") } == isTold, "\(said)")
      try DurableDatabase.close(pool)
    }
  }

  @Test("what tenants have is counted anew after a crash, also when there was no time to look through the database")
  func hurriedSums() async throws {
    await tenancy.node.close()
    func usage() async throws -> StoredUsage? {
      let archive = try NodeArchive(databasePath: path)
      defer { archive.close() }
      return try archive.tenants().first?.usage
    }
    func guests() throws -> [String] {
      let archive = try NodeArchive(databasePath: path)
      defer { archive.close() }
      return try archive.read { try Row.fetchAll($0, sql: "SELECT * FROM guest").map { "\(Array($0.databaseValues))" } }
    }
    let before = try #require(try await usage())
    let guestsBefore = try guests()
    #expect(!guestsBefore.isEmpty)
    try await damage(
      """
      UPDATE tenant SET messages = 7, bytes = 9;
      UPDATE guest SET bytes = 9; INSERT INTO guest VALUES (1, 'did:a:b', 7, 9);
      UPDATE node SET closed_in_order = 0
      """)
    let folder = DataFolder(path: DataFolder.path(of: path), largestStaging: 0, random: SystemRandom())
    try DurableDatabase.close(try StoreRepair.open(path: path, folder: folder, check: .init(.indexes, limit: .zero)))
    #expect(try await usage() == before)
    #expect(try guests() == guestsBefore)
  }
}
