import DWN
import Foundation
import GRDB
import TestSupport
import Testing
import Wire

@testable import DWNNode

/// What a crash or a failing disk left behind is put right when a database is opened.
@Suite(.timeLimit(.minutes(10)))
struct StoreRepairTests {
  let folder = FileManager.default.temporaryDirectory.appendingPathComponent("repair-\(UUID().uuidString)")
  var path: String { folder.appendingPathComponent("node.sqlite").path }

  @Test("an index that differs from its table is made anew, and a tenant's sums are counted again")
  func index() async throws {
    defer { try? FileManager.default.removeItem(at: folder) }
    let pool = try DurableDatabase.open(path: path, schema: NodeSchema.steps)
    try await pool.write { database in
      try database.execute(
        sql: """
          INSERT INTO tenant (id, did) VALUES (1, 'did:a:1');
          INSERT INTO message (tenant, cid, element, kind, json, author, timestamp, protocol, position, size)
            VALUES (1, 'c1', 'e1', 'write', '{}', 'did:a:1', 't', 'p', 1, 2);
          UPDATE tenant SET head = 0, bytes = 99;
          UPDATE node SET closed_in_order = 0;
          """)
      // The index is told that it has other rows than the table.
      try database.execute(sql: "PRAGMA writable_schema = 1")
      try database.execute(
        sql:
          "UPDATE sqlite_master SET sql = replace(sql, 'WHERE squash', 'WHERE NOT squash') WHERE name = 'message_squash'"
      )
    }
    try DurableDatabase.close(pool)
    let damaged = try DurableDatabase.open(path: path, schema: NodeSchema.steps)
    #expect(try await damaged.read { try String.fetchAll($0, sql: "PRAGMA integrity_check") } != ["ok"])
    try DurableDatabase.close(damaged)
    let store = try SQLiteMessageStore(path: path)
    let summary = try #require(try await store.summaries().first)
    #expect(summary.usage == StoredUsage(messages: 1, bytes: 2))
    #expect(summary.head == 1)
    await store.close()
    let reopened = try DurableDatabase.open(path: path, schema: NodeSchema.steps)
    #expect(try await reopened.read { try String.fetchAll($0, sql: "PRAGMA integrity_check") } == ["ok"])
  }

  @Test("who is told that nothing is here leaves no row")
  func noTrace() async throws {
    defer { try? FileManager.default.removeItem(at: folder) }
    let store = try SQLiteMessageStore(path: path)
    #expect(try await store.write(SampleMessages.alice) { try $0.usage().messages } == 0)
    await #expect(throws: DWNError.self) {
      try await store.write(SampleMessages.alice) { transaction in
        _ = try transaction.insert(SampleMessages.write("a"), data: [])
        throw DWNError(400, "Test", "refused")
      }
    }
    #expect(try await store.summaries().isEmpty)
    _ = try await store.write(SampleMessages.alice) { try $0.insert(SampleMessages.write("a"), data: []) }
    #expect(try await store.summaries().count == 1)
    await store.close()
  }

  @Test("a data file that no message names is removed, and other files stay")
  func files() async throws {
    defer { try? FileManager.default.removeItem(at: folder) }
    let store = try SQLiteMessageStore(path: path)
    let staged = try store.dataFolder.create()
    try FileHandle(fileDescriptor: staged.descriptor, closeOnDealloc: false).close()
    let other = store.dataFolder.path(of: "notes.txt")
    #expect(FileManager.default.createFile(atPath: other, contents: Data()))
    await store.close()
    await (try SQLiteMessageStore(path: path)).close()
    #expect(!FileManager.default.fileExists(atPath: store.dataFolder.path(of: staged.name)))
    #expect(FileManager.default.fileExists(atPath: other))
  }

  @Test("an index that somebody took away, or made otherwise, is made again, and that is said")
  func missingIndex() async throws {
    defer { try? FileManager.default.removeItem(at: folder) }
    await (try SQLiteMessageStore(path: path)).close()
    let pool = try DurableDatabase.open(path: path, schema: NodeSchema.steps)
    try await pool.write { database in
      try database.execute(sql: "DROP INDEX message_author")
      try database.execute(sql: "DROP INDEX message_cid")
      try database.execute(sql: "CREATE INDEX message_cid ON message(cid)")
      try database.execute(sql: "DROP TRIGGER message_removed")
    }
    try DurableDatabase.close(pool)
    var said: [String] = []
    let store = try SQLiteMessageStore(path: path) { said.append($0) }
    #expect(said.count == 3)
    let selection = Selection(filter: RecordsFilter(path: "box"), visibility: .publishedAndOwn(SampleMessages.bob))
    try await store.write(SampleMessages.alice) { transaction in
      for record in ["a", "b"] { try transaction.insert(SampleMessages.write(record), data: []) }
      try transaction.remove(SampleMessages.write("b"))
      #expect(try transaction.find(selection).isEmpty)
      #expect(try transaction.usage().messages == 1)
    }
    await store.close()
    said = []
    await (try SQLiteMessageStore(path: path) { said.append($0) }).close()
    #expect(said.isEmpty)
  }

  @Test("two messages under one CID, which an index forbids, are damage that is not mended by guessing")
  func twins() async throws {
    defer { try? FileManager.default.removeItem(at: folder) }
    let store = try SQLiteMessageStore(path: path)
    _ = try await store.write(SampleMessages.alice) { try $0.insert(SampleMessages.write("a"), data: []) }
    await store.close()
    let pool = try DurableDatabase.open(path: path, schema: NodeSchema.steps)
    try await pool.write { database in
      try database.execute(sql: "DROP INDEX message_cid")
      try database.execute(
        sql: """
          INSERT INTO message (tenant, cid, element, kind, json, author, timestamp, protocol, position)
          SELECT tenant, cid, element, kind, json, author, timestamp, protocol, 2 FROM message
          """)
    }
    try DurableDatabase.close(pool)
    #expect(throws: NodeError.corruptDatabase(path: path, detail: "two messages where message_cid allows one")) {
      _ = try SQLiteMessageStore(path: path)
    }
  }

  /// A store with large data of as many messages, `cid-a-0` and so on, that was closed in order. Returns where it keeps data.
  private func storeLargeData(messages: Int) async throws -> DataFolder {
    let size = NodeLimits.dataInDatabase + 1
    let store = try SQLiteMessageStore(path: path)
    for number in 0..<messages {
      let incoming = IncomingData(in: store.dataFolder, limit: size)
      try incoming.append([UInt8](repeating: UInt8(number), count: size))
      let content = try incoming.finish().content
      _ = try await store.write(SampleMessages.alice) { transaction in
        try transaction.insert(SampleMessages.write(["a", "b", "c"][number], size: size), content: content)
      }
    }
    await store.close()
    return store.dataFolder
  }

  private func execute(_ sql: String) throws {
    let pool = try DurableDatabase.open(path: path, schema: NodeSchema.steps)
    try pool.write { try $0.execute(sql: sql) }
    try DurableDatabase.close(pool)
  }

  @Test("a message whose file is gone, or torn, goes on without its data", arguments: [false, true])
  func vanishedFile(isTorn: Bool) async throws {
    defer { try? FileManager.default.removeItem(at: folder) }
    let data = try await storeLargeData(messages: 2)
    let pool = try DurableDatabase.open(path: path, schema: NodeSchema.steps)
    let name = try await pool.read {
      try String.fetchOne($0, sql: "SELECT name FROM data_file JOIN message ON id = message WHERE cid = 'cid-a-0'")
    }
    try DurableDatabase.close(pool)
    let file = data.path(of: try #require(name))
    if isTorn {
      #expect(truncate(file, 100) == 0)
      // A disk tears files when the machine dies, which is not how a store is closed.
      try execute("UPDATE node SET closed_in_order = 0")
    } else {
      try FileManager.default.removeItem(atPath: file)
    }
    var said: [String] = []
    let again = try SQLiteMessageStore(path: path) { said.append($0) }
    #expect(said == ["the data of the message cid-a-0 is not there any more"])
    let messages = try await again.read(SampleMessages.alice) { reader in
      try ["cid-a-0", "cid-b-0"].compactMap { try reader.message(cid: $0) }
    }
    #expect(messages.map(\.hasData) == [false, true] && messages.allSatisfy(\.isLatest))
    let usage = try await again.read(SampleMessages.alice) { try $0.usage() }
    let text = SampleMessages.json(nil).utf8.count
    #expect(usage == StoredUsage(messages: 2, bytes: 2 * text + NodeLimits.dataInDatabase + 1))
    #expect(try again.dataFolder.names().count == 1)
    await again.close()
  }

  @Test(
    "a folder of large data that is away, empty, another one, or no folder is refused, also after a crash, and loses nothing",
    arguments: ["away", "empty", "another", "a file"], [false, true])
  func folderAway(what: String, hasCrashed: Bool) async throws {
    defer { try? FileManager.default.removeItem(at: folder) }
    let data = try await storeLargeData(messages: 3)
    if hasCrashed { try execute("UPDATE node SET closed_in_order = 0") }
    let names = try data.names()
    let files = FileManager.default
    try files.moveItem(atPath: data.path, toPath: data.path + ".elsewhere")
    var expected = NodeError.dataMissing(path: data.path, files: 3)
    switch what {
    case "empty": try files.createDirectory(atPath: data.path, withIntermediateDirectories: false)
    case "another":
      try files.createDirectory(atPath: data.path, withIntermediateDirectories: false)
      #expect(files.createFile(atPath: data.path(of: String(repeating: "ab", count: 16)), contents: Data([1])))
    case "a file":
      #expect(files.createFile(atPath: data.path, contents: Data()))
      expected = .cannotReadOrWrite(path: data.path, reason: "large data cannot be listed: not a directory")
    default: break
    }
    for _ in 0..<2 {
      #expect(throws: expected) { _ = try SQLiteMessageStore(path: path) }
    }
    if what == "another" { #expect(try data.names().count == 1) }
    try? files.removeItem(atPath: data.path)
    try files.moveItem(atPath: data.path + ".elsewhere", toPath: data.path)
    var said: [String] = []
    let again = try SQLiteMessageStore(path: path) { said.append($0) }
    #expect(said.isEmpty)
    #expect(try Set(again.dataFolder.names()) == Set(names))
    let messages = try await again.read(SampleMessages.alice) { reader in
      try ["cid-a-0", "cid-b-0", "cid-c-0"].compactMap { try reader.message(cid: $0) }
    }
    #expect(messages.map(\.hasData) == [true, true, true])
    await again.close()
  }

  @Test("large data that is lost for good is given up where that is asked for")
  func givenUp() async throws {
    defer { try? FileManager.default.removeItem(at: folder) }
    let data = try await storeLargeData(messages: 2)
    try FileManager.default.removeItem(atPath: data.path)
    var said: [String] = []
    let store = try SQLiteMessageStore(path: path, accepting: [.data, .log]) { said.append($0) }
    #expect(said.count == 2)
    #expect(try await store.read(SampleMessages.alice) { try $0.message(cid: "cid-a-0")?.hasData } == false)
    await store.close()
    await (try SQLiteMessageStore(path: path)).close()
  }

  @Test("a new database beside large data of another one is refused, and the data stays")
  func newBesideOld() async throws {
    defer { try? FileManager.default.removeItem(at: folder) }
    let data = try await storeLargeData(messages: 1)
    try FileManager.default.moveItem(atPath: path, toPath: path + ".damaged")
    for _ in 0..<2 {
      #expect(throws: NodeError.dataOfAnother(path: data.path)) { _ = try SQLiteMessageStore(path: path) }
    }
    #expect(try data.names().count == 1)
    try? FileManager.default.removeItem(atPath: path)
    try FileManager.default.moveItem(atPath: path + ".damaged", toPath: path)
    await (try SQLiteMessageStore(path: path)).close()
  }

  @Test("a file that cannot be opened, though it is there, is an error and not a loss")
  func unreadableFile() async throws {
    defer { try? FileManager.default.removeItem(at: folder) }
    let data = try await storeLargeData(messages: 1)
    let file = data.path(of: try #require(try data.names().first))
    try FileManager.default.moveItem(atPath: file, toPath: file + ".elsewhere")
    try FileManager.default.createSymbolicLink(atPath: file, withDestinationPath: file + ".elsewhere")
    let trouble = NodeError.cannotReadOrWrite(path: file, reason: "too many levels of symbolic links")
    let store = try SQLiteMessageStore(path: path)
    await #expect(throws: trouble) {
      try await store.read(SampleMessages.alice) { reader in
        try reader.message(cid: "cid-a-0").flatMap { try reader.content(of: $0) }
      }
    }
    await store.close()
    try execute("UPDATE node SET closed_in_order = 0")
    #expect(throws: trouble) { _ = try SQLiteMessageStore(path: path) }
    try FileManager.default.removeItem(atPath: file)
    try FileManager.default.moveItem(atPath: file + ".elsewhere", toPath: file)
    let again = try SQLiteMessageStore(path: path)
    #expect(try await again.read(SampleMessages.alice) { try $0.message(cid: "cid-a-0")?.hasData } == true)
    await again.close()
  }

  @Test(
    "whoever has the data of a message that lost it sends the same message again, be it the first of its record or a later one"
  )
  func healed() async throws {
    let tenancy = try TestTenancy()
    #expect(try await tenancy.install(#"{"box": {}}"#).status.code == 202)
    let first = try await tenancy.write(tenancy.alice, "box", data: "1")
    let draft = RecordDraft(updating: first, data: Array("2".utf8))
    let later = tenancy.alice.signer.recordsWrite(draft, at: tenancy.tick())
    #expect(try await tenancy.status(later.signed, data: draft.data) == "202")
    let queue = try DatabaseQueue(path: tenancy.databasePath)
    try await queue.write { database in
      try database.execute(
        sql: "UPDATE message SET has_data = 0, data = NULL, size = length(CAST(json AS BLOB)) WHERE cid = ?",
        arguments: [later.cid.text])
    }
    try queue.close()
    #expect(try await tenancy.status(later.signed) == "409")
    #expect(try await tenancy.status(later.signed, data: Array("3".utf8)) == "400 RecordsWriteDataCidMismatch")
    #expect(try await tenancy.status(later.signed, data: draft.data) == "202")
    #expect(try await tenancy.query(tenancy.alice, RecordsFilter(protocolURI: TestTenancy.protocolURI)) == ["2"])
    #expect(try await tenancy.status(later.signed, data: draft.data) == "409")
    #expect(try await tenancy.status(first.signed, data: Array("1".utf8)) == "409")
  }

  @Test("of a log that is torn at any place, whole commits are left, the first ones, and their indexes agree")
  func tornLog() async throws {
    defer { try? FileManager.default.removeItem(at: folder) }
    let seed = UInt64.random(in: .min ... .max)
    let random = SeededRandom(seed)
    let store = try SQLiteMessageStore(path: path)
    for number in 0..<30 {
      try await store.write(SampleMessages.alice) { transaction in
        try transaction.insert(SampleMessages.write("a\(number)"), data: [])
        try transaction.insert(SampleMessages.write("b\(number)"), data: [])
      }
    }
    let log = try Data(contentsOf: URL(fileURLWithPath: path + "-wal"))
    let file = try Data(contentsOf: URL(fileURLWithPath: path))
    await store.close()
    for round in 0..<12 {
      let label: Comment = "seed \(seed), round \(round)"
      let copy = folder.appendingPathComponent("torn\(round).sqlite").path
      var torn = log.prefix(Int(random.uniform(below: UInt64(log.count))))
      // What was being written may also be nonsense instead of missing.
      if round % 2 == 0 { torn.append(contentsOf: random.bytes(5_000)) }
      try file.write(to: URL(fileURLWithPath: copy))
      try Data(torn).write(to: URL(fileURLWithPath: copy + "-wal"))
      let opened = try SQLiteMessageStore(path: copy)
      let feed = try await opened.read(SampleMessages.alice) { reader in
        try reader.feed(FeedSpan(after: 0, through: reader.head(), limit: .max)).map(\.cid)
      }
      #expect(feed.count % 2 == 0, label)
      #expect(feed == (0..<feed.count).map { "cid-\($0 % 2 == 0 ? "a" : "b")\($0 / 2)-0" }, label)
      await opened.close()
      let pool = try DurableDatabase.open(path: copy, schema: NodeSchema.steps)
      #expect(try await pool.read { try String.fetchAll($0, sql: "PRAGMA integrity_check") } == ["ok"], label)
      try pool.close()
    }
  }

  @Test("a file that lost its end is refused, and kept, unless all messages are there without that")
  func tornFile() async throws {
    defer { try? FileManager.default.removeItem(at: folder) }
    let store = try SQLiteMessageStore(path: path)
    try await store.write(SampleMessages.alice) { transaction in
      for number in 0..<50 { try transaction.insert(SampleMessages.write("a\(number)"), data: []) }
    }
    await store.close()
    let whole = try Data(contentsOf: URL(fileURLWithPath: path))
    for part in [whole.count / 2, whole.count - 4096] {
      try whole.prefix(part).write(to: URL(fileURLWithPath: path))
      do {
        let mended = try SQLiteMessageStore(path: path)
        let feed = try await mended.read(SampleMessages.alice) {
          try $0.feed(FeedSpan(after: 0, through: 50, limit: .max))
        }
        #expect(feed.count == 50)
        await mended.close()
        #expect(try Data(contentsOf: URL(fileURLWithPath: path + ".damaged")).count == part)
        continue
      } catch let error as NodeError {
        guard case .corruptDatabase = error else {
          Issue.record("\(error)")
          continue
        }
      }
      #expect(try Data(contentsOf: URL(fileURLWithPath: path)).count == part)
    }
  }
}
