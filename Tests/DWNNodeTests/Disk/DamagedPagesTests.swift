import Foundation
import GRDB
import TestSupport
import Testing
import Wire

@testable import DWNNode

/// Pages of a database and of its log that a disk lost: what can be made of the rest is, and what cannot is refused.
@Suite(.timeLimit(.minutes(10)))
struct DamagedPagesTests {
  private let folder = FileManager.default.temporaryDirectory.appendingPathComponent("pages-\(UUID().uuidString)")
  private var path: String { folder.appendingPathComponent("node.sqlite").path }
  private static let messages = 300

  /// A store of several pages for every index, and what it had.
  private func fill(closing: Bool = true) async throws -> (store: SQLiteMessageStore, feed: [String]) {
    let store = try SQLiteMessageStore(path: path)
    for number in 0..<Self.messages / 10 {
      try await store.write(SampleMessages.alice) { transaction in
        for index in 0..<10 {
          var message = SampleMessages.write("a\(number * 10 + index)")
          message.json += String(repeating: " ", count: 100)
          try transaction.insert(message, data: Array(repeating: 7, count: 200))
        }
      }
    }
    let feed = try await feed(of: store)
    if closing { await store.close() }
    return (store, feed)
  }

  private func feed(of store: SQLiteMessageStore) async throws -> [String] {
    try await store.read(SampleMessages.alice) { reader in
      try reader.feed(FeedSpan(after: 0, through: reader.head(), limit: .max)).map(\.cid)
    }
  }

  /// The pages at which trees begin, by their names; what lies below them is found when they are read.
  private func roots(_ type: String) throws -> [(name: String, page: Int)] {
    let queue = try DatabaseQueue(path: path)
    defer { try? queue.close() }
    return try queue.read {
      try Row.fetchAll(
        $0, sql: "SELECT name, rootpage FROM sqlite_schema WHERE type = ? AND rootpage > 1 ORDER BY name",
        arguments: [type]
      ).map { ($0[0], $0[1]) }
    }
  }

  private func clear(page: Int) throws {
    let handle = try #require(FileHandle(forUpdatingAtPath: path))
    try handle.seek(toOffset: UInt64((page - 1) * 4096))
    try handle.write(contentsOf: Data(count: 4096))
    try handle.close()
  }

  @Test(
    "whatever page of an index cannot be read, the database is made anew from its tables, and the damaged one is kept")
  func indexes() async throws {
    defer { try? FileManager.default.removeItem(at: folder) }
    let (_, feed) = try await fill()
    let whole = try Data(contentsOf: URL(fileURLWithPath: path))
    // Those of a table's own rules belong to the table.
    let indexes = try roots("index").filter { !$0.name.hasPrefix("sqlite_autoindex_") }
    #expect(indexes.count > 20)
    for (number, index) in indexes.enumerated() {
      try whole.write(to: URL(fileURLWithPath: path))
      try clear(page: index.page)
      let damaged = try Data(contentsOf: URL(fileURLWithPath: path))
      var said: [String] = []
      let store = try SQLiteMessageStore(path: path) { said.append($0) }
      #expect(said.count == 1 && said[0].contains("were made anew"), "\(index.name): \(said)")
      #expect(try await self.feed(of: store) == feed, "\(index.name)")
      let summary = try #require(try await store.summaries().first)
      #expect(summary.usage.messages == Self.messages && summary.head == Int64(Self.messages))
      await store.close()
      let kept = try #require(said[0].split(separator: " ").last.map(String.init))
      #expect(try Data(contentsOf: URL(fileURLWithPath: kept)) == damaged)
      #expect((kept == path + ".damaged") == (number == 0))
      if number > 0 { try FileManager.default.removeItem(atPath: kept) }
    }
    var said: [String] = []
    await (try SQLiteMessageStore(path: path) { said.append($0) }).close()
    #expect(said.isEmpty)
  }

  @Test("a table of which a page cannot be read, or has fewer rows than it had, is refused, and stays as it is")
  func tables() async throws {
    defer { try? FileManager.default.removeItem(at: folder) }
    _ = try await fill()
    let whole = try Data(contentsOf: URL(fileURLWithPath: path))
    let tables = try roots("table").filter { !$0.name.hasPrefix("sqlite_") }
    #expect(tables.contains { $0.name == "message" } && tables.contains { $0.name == "tag" })
    for table in tables {
      for isCleared in [true, false] {
        var damaged = whole
        let header = (table.page - 1) * 4096
        // Bytes 3 and 4 of a page say how many cells it has.
        let cells = Int(damaged[header + 3]) << 8 | Int(damaged[header + 4])
        if isCleared {
          damaged.replaceSubrange(header..<header + 4096, with: Data(count: 4096))
        } else if cells > 1 {
          damaged[header + 4] -= 1
        } else {
          continue
        }
        try damaged.write(to: URL(fileURLWithPath: path))
        let error = #expect(throws: NodeError.self, "\(table)") { _ = try SQLiteMessageStore(path: path) }
        if case .corruptDatabase? = error {} else { Issue.record("\(table): \(String(describing: error))") }
        #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == damaged)
      }
    }
    #expect(FileCopy.names(in: folder.path)?.contains { $0.contains(".part") || $0.contains(".damaged") } == false)
  }

  @Test(
    "a log that was damaged before its last commit is refused and kept; who goes on without it does so in a new epoch")
  func log() async throws {
    defer { try? FileManager.default.removeItem(at: folder) }
    let (store, feed) = try await fill(closing: false)
    let log = try Data(contentsOf: URL(fileURLWithPath: path + "-wal"))
    let file = try Data(contentsOf: URL(fileURLWithPath: path))
    let epoch = try NodeArchive(databasePath: path).statistics().epoch
    await store.close()
    func lay(_ log: Data) throws {
      try file.write(to: URL(fileURLWithPath: path))
      try log.write(to: URL(fileURLWithPath: path + "-wal"))
    }
    try lay(log)
    #expect(try WriteAheadLog.lostCommits(of: path) == 0)
    var damaged = log
    damaged[log.count / 2] ^= 1
    try lay(damaged)
    var lost = 0
    for _ in 0..<2 {
      let error = #expect(throws: NodeError.self) { _ = try SQLiteMessageStore(path: path) }
      if case .damagedLog(path, let commits)? = error { lost = commits }
    }
    #expect(lost > 5 && lost < Self.messages / 10)
    #expect(throws: NodeError.damagedLog(path: path, commits: lost)) {
      try NodeBackup.make(of: path, to: folder.path + "/backup")
    }
    #expect(try NodeCheck.run(on: path).findings.first?.contains("the log of the database") == true)
    #expect(try Data(contentsOf: URL(fileURLWithPath: path + "-wal")) == damaged)
    var said: [String] = []
    let shorter = try SQLiteMessageStore(path: path, accepting: [.data, .log]) { said.append($0) }
    #expect(said == ["its log lost \(lost) commits, and goes on without them in a new epoch of the feed"])
    let left = try await self.feed(of: shorter)
    #expect(left.count < feed.count && left == Array(feed.prefix(left.count)))
    await shorter.close()
    #expect(try NodeArchive(databasePath: path).statistics().epoch != epoch)
    // What a crash leaves is the beginning of one commit, of whose pages any may be missing.
    let frame = 24 + 4096
    var torn = log
    torn[log.count - frame / 2] ^= 1
    try lay(torn)
    #expect(try WriteAheadLog.lostCommits(of: path) == 0)
    #expect(try WriteAheadLog.lostCommits(of: path + ".none") == 0)
    // Commits whose flush failed stay behind the last one, in layers: on none of them another one was built.
    var commits: [Data] = [Data()]
    for start in stride(from: 32, to: log.count, by: frame) {
      commits[commits.count - 1] += log[start..<start + frame]
      if log[start + 4..<start + 8] != Data(count: 4) { commits.append(Data()) }
    }
    let layers = { (numbers: [Int]) in numbers.reduce(log.prefix(32)) { $0 + commits[$1] } }
    try lay(layers(Array(0..<10) + [12, 20, 25]))
    #expect(try WriteAheadLog.lostCommits(of: path) == 0)
    try lay(layers(Array(0..<10) + [12, 13, 25]))
    #expect(try WriteAheadLog.lostCommits(of: path) == 1)
  }

  @Test("a log without its database is kept, and nothing is begun or restored beside it")
  func logAlone() async throws {
    defer { try? FileManager.default.removeItem(at: folder) }
    let (store, _) = try await fill(closing: false)
    let backup = folder.appendingPathComponent("backup").path
    _ = try NodeBackup.make(of: path, to: backup + "/")
    let log = try Data(contentsOf: URL(fileURLWithPath: path + "-wal"))
    await store.close()
    try log.write(to: URL(fileURLWithPath: path + "-wal"))
    for isEmpty in [true, false] {
      try? FileManager.default.removeItem(atPath: path)
      if isEmpty { #expect(FileManager.default.createFile(atPath: path, contents: Data())) }
      #expect(throws: NodeError.logWithoutDatabase(path: path + "-wal")) { _ = try SQLiteMessageStore(path: path) }
    }
    #expect(throws: NodeError.logWithoutDatabase(path: path + "-wal")) { try NodeRestore.run(from: backup, to: path) }
    #expect(try Data(contentsOf: URL(fileURLWithPath: path + "-wal")) == log)
    try FileManager.default.removeItem(atPath: path + "-wal")
    #expect(try NodeRestore.run(from: backup + "/", to: path).messages == Self.messages)
  }

  @Test("however much large data goes at once, all its files go, without anybody writing more")
  func manyFiles() async throws {
    defer { try? FileManager.default.removeItem(at: folder) }
    let store = try SQLiteMessageStore(path: path)
    let size = NodeLimits.dataInDatabase + 1
    for number in 0..<230 {
      let incoming = IncomingData(in: store.dataFolder, limit: size)
      try incoming.append([UInt8](repeating: 1, count: size))
      let content = try incoming.finish().content
      _ = try await store.write(SampleMessages.alice) {
        try $0.insert(SampleMessages.write("f\(number)", size: size), content: content)
      }
    }
    #expect(try store.dataFolder.names().count == 230)
    try await store.write(SampleMessages.alice) { transaction in
      for number in 0..<230 { try transaction.remove(SampleMessages.write("f\(number)", size: size)) }
    }
    await store.close()
    #expect(try store.dataFolder.names() == [])
  }

  @Test("what a process that was killed had half made is removed by the next one, and what another one makes is not")
  func parts() async throws {
    defer { try? FileManager.default.removeItem(at: folder) }
    _ = try await fill()
    let backup = folder.appendingPathComponent("backup").path
    let files = FileManager.default
    for name in [
      backup + ".01234567.part", path + ".89abcdef.part-data", backup + ".76543210.part", backup + ".mine.part",
    ] {
      try files.createDirectory(atPath: name, withIntermediateDirectories: false)
      #expect(files.createFile(atPath: name + "/file", contents: Data(count: 10)))
    }
    #expect(files.createFile(atPath: path + ".89abcdef.part", contents: Data(count: 10)))
    let held = try FileCopy.hold(backup + ".76543210.part")
    _ = try NodeBackup.make(of: path, to: backup)
    try FileHandle(fileDescriptor: held, closeOnDealloc: false).close()
    await (try SQLiteMessageStore(path: path)).close()
    let left = try #require(FileCopy.names(in: folder.path)).filter { $0.contains(".part") }.sorted()
    #expect(left == ["backup.76543210.part", "backup.mine.part"])
    let again = folder.appendingPathComponent("again.sqlite").path
    #expect(throws: NodeError.interrupted) {
      try NodeBackup.make(of: path, to: again) { _, _ throws(NodeError) in throw .interrupted }
    }
    #expect(FileCopy.names(in: folder.path)?.contains { $0.hasPrefix("again") } == false)
  }
}
