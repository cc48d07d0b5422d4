import DWN
import Foundation
import GRDB
import Synchronization
import TestSupport
import Testing
import Wire

@testable import DWNNode

/// What was acknowledged is there after a crash, and what cannot be used is refused in words.
@Suite(.timeLimit(.minutes(10)))
struct DurabilityTests {
  let folder = FileManager.default.temporaryDirectory.appendingPathComponent("durable-\(UUID().uuidString)")
  var path: String { folder.appendingPathComponent("a/b.sqlite").path }

  private func cleanUp() { try? FileManager.default.removeItem(at: folder) }

  private func permissions(_ path: String) throws -> Int {
    let value = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions]
    return try #require(value as? NSNumber).intValue
  }

  @Test("the writer of a database flushes every commit: synchronous is FULL, in a write-ahead log")
  func synchronous() throws {
    defer { cleanUp() }
    let pool = try DurableDatabase.open(path: path, schema: NodeSchema.steps)
    func setting(_ name: String) throws -> String? {
      try pool.writeWithoutTransaction { try String.fetchOne($0, sql: "PRAGMA \(name)") }
    }
    #expect(try setting("synchronous") == "2")
    #expect(try setting("journal_mode") == "wal")
    #expect(try setting("foreign_keys") == "1")
    try pool.write { database in try database.execute(sql: "INSERT INTO tenant (did) VALUES ('a')") }
    #expect(try setting("synchronous") == "2")
  }

  @Test("a database belongs to its owner alone, also one that did not")
  func ownerOnly() throws {
    defer { cleanUp() }
    let pool = try DurableDatabase.open(path: path, schema: NodeSchema.steps)
    #expect(try permissions(path) == 0o600)
    #expect(try permissions(folder.appendingPathComponent("a").path) == 0o700)
    for suffix in ["-wal", "-shm"] { #expect(try permissions(path + suffix) == 0o600) }
    try pool.close()
    try FileManager.default.setAttributes([.posixPermissions: NSNumber(value: 0o644)], ofItemAtPath: path)
    _ = try DurableDatabase.open(path: path, schema: NodeSchema.steps)
    #expect(try permissions(path) == 0o600)
  }

  @Test("after it was closed, the one file holds everything")
  func closed() throws {
    defer { cleanUp() }
    let pool = try DurableDatabase.open(path: path, schema: NodeSchema.steps)
    try pool.write { database in try database.execute(sql: "INSERT INTO tenant (did) VALUES ('a')") }
    func tenants(_ pool: DatabasePool) throws -> [String] {
      try pool.read { try String.fetchAll($0, sql: "SELECT did FROM tenant") }
    }
    #expect(try tenants(pool) == ["a"])
    try DurableDatabase.close(pool)
    let copy = folder.appendingPathComponent("copy.sqlite").path
    try FileManager.default.copyItem(atPath: path, toPath: copy)
    #expect(try tenants(try DurableDatabase.open(path: copy, schema: NodeSchema.steps)) == ["a"])
  }

  @Test("a link in the place of the file is refused, and what it points at keeps its permissions")
  func link() throws {
    defer { cleanUp() }
    let target = folder.appendingPathComponent("target").path
    try FileManager.default.createDirectory(atPath: folder.path + "/a", withIntermediateDirectories: true)
    _ = FileManager.default.createFile(
      atPath: target, contents: Data(), attributes: [.posixPermissions: NSNumber(value: 0o644)])
    try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: target)
    #expect(throws: NodeError.self) { _ = try DurableDatabase.open(path: path, schema: NodeSchema.steps) }
    #expect(try permissions(target) == 0o644)
  }

  @Test("a file that is no database, or is damaged, is refused and kept")
  func corrupt() throws {
    defer { cleanUp() }
    _ = try DurableDatabase.open(path: path, schema: NodeSchema.steps)
    for suffix in ["-wal", "-shm"] { try? FileManager.default.removeItem(atPath: path + suffix) }
    var bytes = Array(try Data(contentsOf: URL(fileURLWithPath: path)))
    for index in stride(from: 4096, to: bytes.count, by: 7) { bytes[index] = 0x5a }
    for content in [bytes, Array("no database at all, but long enough to be looked at twice".utf8)] {
      try Data(content).write(to: URL(fileURLWithPath: path))
      do {
        _ = try DurableDatabase.open(path: path, schema: NodeSchema.steps)
        Issue.record("a damaged file was opened")
      } catch {
        guard case .corruptDatabase(let named, _) = error else {
          Issue.record("\(error)")
          continue
        }
        #expect(named == path)
      }
      #expect(Array(try Data(contentsOf: URL(fileURLWithPath: path))) == content)
    }
  }

  @Test("a database of a newer version is refused")
  func newer() throws {
    defer { cleanUp() }
    _ = try DurableDatabase.open(path: path, schema: NodeSchema.steps + [.init(sql: "CREATE TABLE later (x)")])
    let known = NodeSchema.steps.count
    #expect(throws: NodeError.newerDatabase(path: path, version: known + 1, known: known)) {
      _ = try DurableDatabase.open(path: path, schema: NodeSchema.steps)
    }
  }

  @Test("steps of a schema run once, from whatever version a file has")
  func migration() throws {
    defer { cleanUp() }
    let steps = (1...3).map { DurableDatabase.SchemaStep(sql: "CREATE TABLE step\($0) (x)") }
    for count in [1, 3, 3] {
      let pool = try DurableDatabase.open(path: path, schema: Array(steps.prefix(count)))
      #expect(try pool.read { try Int.fetchOne($0, sql: "PRAGMA user_version") } == count)
      try pool.close()
    }
    let failing = steps + [.init(sql: "CREATE TABLE step4 (x)"), .init(sql: "no SQL")]
    #expect(throws: NodeError.self) { _ = try DurableDatabase.open(path: path, schema: failing) }
    let pool = try DurableDatabase.open(path: path, schema: steps)
    #expect(try pool.read { try $0.tableExists("step4") } == false)
  }

  @Test("a folder that cannot be made is an error that names the database")
  func unusablePath() throws {
    #expect(throws: NodeError.cannotOpenDatabase(path: "/proc/none/x.sqlite", reason: "no such file or directory")) {
      _ = try DurableDatabase.open(path: "/proc/none/x.sqlite", schema: NodeSchema.steps)
    }
    #expect(throws: NodeError.self) { _ = try DurableDatabase.open(path: "/dev/null", schema: NodeSchema.steps) }
  }

  @Test("a copy of the files, as a crash would leave them, has every record that was acknowledged")
  func crash() async throws {
    defer { cleanUp() }
    let tenancy = try TestTenancy()
    #expect(try await tenancy.install(#"{"box": {}}"#).status.code == 202)
    let acknowledged = await withTaskGroup(of: String?.self) { group in
      for number in 0..<100 {
        group.addTask {
          let large = String(repeating: "x", count: number % 10 == 0 ? 40_000 : 10)
          return try? await tenancy.write(tenancy.alice, "box", data: "\(number) \(large)").recordID.text
        }
      }
      return await group.reduce(into: Set<String>()) { if let id = $1 { $0.insert(id) } }
    }
    #expect(acknowledged.count == 100)
    let copy = folder.appendingPathComponent("copy.sqlite").path
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    for suffix in ["", "-wal"] {
      try FileManager.default.copyItem(atPath: tenancy.databasePath + suffix, toPath: copy + suffix)
    }
    let reopened = try DWNNode(databasePath: copy, tenants: [tenancy.alice.did])
    let query = tenancy.alice.signer.recordsQuery(
      RecordsFilter(protocolURI: TestTenancy.protocolURI, path: "box"), at: tenancy.tick())
    let reply = try await reopened.process(tenant: tenancy.alice.did, message: query.message.value, data: nil)
    #expect(Set(reply.entries.compactMap { $0.message["recordId"]?.string }) == acknowledged)
    await reopened.close()
  }

  @Test("a full disk refuses the write, loses nothing, and is over once there is room")
  func fullDisk() async throws {
    defer { cleanUp() }
    let pool = try DurableDatabase.open(path: path, schema: NodeSchema.steps)
    let queue = CommitQueue(pool: pool, path: path)
    try await queue.perform { try $0.execute(sql: "PRAGMA max_page_count = 40") }
    let big = Data(repeating: 1, count: 300_000)
    await #expect(throws: NodeError.diskFull(path: path)) {
      try await queue.perform { database in
        try database.execute(sql: "INSERT INTO tenant (did) VALUES ('half')")
        try database.execute(sql: "CREATE TABLE filler (bytes BLOB)")
        try database.execute(sql: "INSERT INTO filler VALUES (?)", arguments: [big])
      }
    }
    #expect(try await pool.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM tenant") } == 0)
    try await queue.perform { try $0.execute(sql: "INSERT INTO tenant (did) VALUES ('whole')") }
    #expect(try await pool.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM tenant") } == 1)
  }

  @Test("writers that wait are committed together, and one that is refused undoes only its own")
  func groupCommit() async throws {
    defer { cleanUp() }
    let pool = try DurableDatabase.open(path: path, schema: NodeSchema.steps)
    let queue = CommitQueue(pool: pool, path: path)
    let refused = await withTaskGroup(of: Bool.self) { group in
      for number in 0..<200 {
        group.addTask {
          do {
            try await queue.perform { database in
              try database.execute(sql: "INSERT INTO tenant (did) VALUES (?)", arguments: ["\(number)"])
              if number % 3 == 0 { throw DWNError(400, "Test", "odd one out") }
            }
            return false
          } catch {
            return error is DWNError
          }
        }
      }
      return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
    }
    #expect(refused == 67)
    #expect(try await pool.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM tenant") } == 133)
    await queue.close()
    await #expect(throws: NodeError.self) { try await queue.perform { try $0.execute(sql: "SELECT 1") } }
  }

  @Test("who is refused after a change makes those beside it run again, and for a while nobody else does")
  func undone() async throws {
    defer { cleanUp() }
    let pool = try DurableDatabase.open(path: path, schema: NodeSchema.steps)
    let queue = CommitQueue(pool: pool, path: path)
    let runs = Mutex<[String: Int]>([:])
    let told = Mutex<[String]>([])
    /// Who is refused changed something before, or nothing.
    @Sendable func perform(_ name: String, isRefused: Bool = false, changes: Bool = true) async throws {
      try await queue.perform { database in
        runs.withLock { $0[name, default: 0] += 1 }
        if changes { try database.execute(sql: "INSERT INTO tenant (did) VALUES (?)", arguments: [name]) }
        if isRefused { throw DWNError(400, "Test", "refused") }
      } committed: { _ in
        told.withLock { $0.append(name) }
      }
    }
    /// Puts all of them into one transaction, while the writer is busy with another one.
    func together(_ performs: [@Sendable () async throws -> Void]) async throws -> Int {
      let (isBusy, goOn) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
      return await withTaskGroup(of: Bool.self) { group in
        group.addTask {
          await #expect(throws: Never.self) {
            try await queue.perform { _ in
              isBusy.signal()
              goOn.wait()
            }
          }
          return true
        }
        await withCheckedContinuation { continuation in
          DispatchQueue.global().async {
            isBusy.wait()
            continuation.resume()
          }
        }
        for perform in performs { group.addTask { (try? await perform()) != nil } }
        for _ in 0..<30_000 where queue.waiting < performs.count { try? await Task.sleep(for: .milliseconds(1)) }
        goOn.signal()
        return await group.reduce(-1) { $0 + ($1 ? 1 : 0) }
      }
    }
    let nothing = try await together([
      { try await perform("a") }, { try await perform("b", isRefused: true, changes: false) },
      { try await perform("c") },
    ])
    #expect(nothing == 2)
    #expect(runs.withLock { $0 } == ["a": 1, "b": 1, "c": 1])
    runs.withLock { $0 = [:] }
    let first = try await together([
      { try await perform("d") }, { try await perform("e", isRefused: true) }, { try await perform("f") },
    ])
    #expect(first == 2)
    #expect(runs.withLock { $0.values.max() } == 2)
    runs.withLock { $0 = [:] }
    let second = try await together([
      { try await perform("g") }, { try await perform("h", isRefused: true) }, { try await perform("i") },
    ])
    #expect(second == 2)
    #expect(runs.withLock { $0 } == ["g": 1, "h": 1, "i": 1])
    for number in 0..<CommitQueue.carefulTransactions { try await perform("j\(number)") }
    runs.withLock { $0 = [:] }
    let third = try await together([
      { try await perform("k") }, { try await perform("l", isRefused: true) }, { try await perform("m") },
    ])
    #expect(third == 2)
    #expect(runs.withLock { $0.values.max() } == 2)
    for number in 0..<CommitQueue.carefulTransactions { try await perform("n\(number)") }
    // Who is alone has nobody whose work would have to be done again.
    await #expect(throws: DWNError.self) { try await perform("o", isRefused: true) }
    #expect(runs.withLock { $0["o"] } == 1)
    let served = told.withLock { $0.filter { $0.count == 1 }.sorted() }
    #expect(served == ["a", "c", "d", "f", "g", "i", "k", "m"])
    let tenants = try await pool.read {
      try String.fetchAll($0, sql: "SELECT did FROM tenant WHERE length(did) = 1 ORDER BY did")
    }
    #expect(tenants == served)
    await queue.close()
  }

  @Test("a closed node refuses instead of answering from nothing")
  func closed() async throws {
    let tenancy = try TestTenancy()
    await tenancy.node.close()
    let query = tenancy.alice.signer.protocolsQuery(protocolURI: nil, at: tenancy.tick())
    await #expect(throws: EndpointError.self) { _ = try await tenancy.send(query) }
    await #expect(throws: EndpointError.self) { _ = try await tenancy.install(#"{"box": {}}"#) }
  }
}
