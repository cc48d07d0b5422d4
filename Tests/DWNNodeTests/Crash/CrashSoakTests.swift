import DWN
import Foundation
import GRDB
import Identity
import TestSupport
import Testing
import Wire

@testable import DWNNode

/// A node that is killed while clients write to it, 32 or two thousand of them at once, and opened again: what it said before is true
/// afterwards.
///
/// Briefly in every test run, and in `make soak` for as long as wanted. The processes die of SIGKILL, so what the operating system
/// took from them stays; that a commit waits for the disk is for `DurabilityTests` to say.
@Suite(.timeLimit(.minutes(Soak.minutes(short: 10))))
struct CrashSoakTests {
  /// Lives of one database; each look at it takes longer.
  private static let livesOfDatabase = 25
  /// How often everything that was ever said is looked at, and not only what is new since the last look; and in a short run always.
  private static let livesBetweenFullLooks = Soak.duration == nil ? 1 : 20
  /// One life in so many is that of a node to which thousands write at once. Most of their writes are first ones: the other lives have
  /// more that is changed and deleted.
  private static let livesBetweenCrowds = 4
  private static let crowd = 2_000
  /// Bytes of journal that a life writes at most. In a soak there are many lives and each is short.
  private static let longestLife: UInt64 = Soak.duration == nil ? 120_000 : 60_000

  @Test(
    "killed at any instant, a node has every message that it acknowledged, indexes that agree with them, and a feed without a hole or a repetition"
  )
  func kill() async throws {
    let seed = UInt64.random(in: .min ... .max)
    let random = SeededRandom(seed)
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("crash-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: folder) }
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)

    var ledger = CrashLedger()
    var writer = CrashWriter(databasePath: "")
    var acknowledged = 0
    var kills = 0
    var fullLooks = 0
    for round in Soak.rounds(short: 10) {
      if round % Self.livesOfDatabase == 0 {
        // A database that goes is looked at in full once more.
        if round > 0 {
          try await examine(writer.databasePath, &ledger, inFull: true, "seed \(seed), before life \(round)")
        }
        writer = CrashWriter(databasePath: folder.appendingPathComponent("\(round).sqlite").path)
        ledger = CrashLedger()
      }
      let label: Comment = "seed \(seed), life \(round)"
      writer.clients = round % Self.livesBetweenCrowds == 1 ? Self.crowd : CrashWriter.clients
      try await live(writer, random, label)
      kills += 1
      try ledger.read(CrashJournal.lines(of: writer.journalPath), label)
      try FileManager.default.removeItem(atPath: writer.journalPath)
      let isFull = kills % Self.livesBetweenFullLooks == 0
      try await examine(writer.databasePath, &ledger, inFull: isFull, label)
      fullLooks += isFull ? 1 : 0
      acknowledged += ledger.newlyAcknowledged
      if Soak.duration != nil, kills % 10 == 0 { print("crash test: \(kills) kills, \(acknowledged) acknowledged") }
    }
    try await examine(writer.databasePath, &ledger, inFull: true, "seed \(seed), at the end")
    print(
      "crash test: \(kills) kills, \(fullLooks) full looks, \(acknowledged) messages were acknowledged, seed \(seed)")
    #expect(acknowledged > 0)
  }

  /// Starts a writer, lets it do something, and kills it.
  private func live(_ writer: CrashWriter, _ random: SeededRandom, _ label: Comment) async throws {
    #expect(FileManager.default.createFile(atPath: writer.journalPath, contents: nil), label)
    let outputPath = writer.databasePath + ".output"
    let process = try TestProcess(
      suite: "CrashWriterProcess",
      variables: [CrashWriter.variable: writer.databasePath, CrashWriter.clientsVariable: "\(writer.clients)"],
      outputPath: outputPath)
    defer { process.kill() }
    // Some die before anything is acknowledged, others while the database is still being opened.
    let wanted = random.uniform(below: 8) == 0 ? 0 : Int(random.uniform(below: Self.longestLife))
    while CrashJournal.length(of: writer.journalPath) < wanted {
      guard !process.hasEnded else {
        Issue.record("\(label): the writer ended: \((try? String(contentsOfFile: outputPath, encoding: .utf8)) ?? "")")
        return
      }
      try await Task.sleep(for: .milliseconds(2))
    }
    try await Task.sleep(for: .microseconds(Int64(random.uniform(below: wanted == 0 ? 600_000 : 6_000))))
  }

  /// Opens the database as a node does after a crash, and compares it with what was said.
  private func examine(
    _ path: String, _ ledger: inout CrashLedger, inFull isFull: Bool, _ label: Comment
  ) async throws {
    // What is repaired is what a crash may leave: never data that is lost.
    let store = try SQLiteMessageStore(path: path) { Issue.record("\(label): \($0)") }
    var configuration = Configuration()
    configuration.readonly = true
    let connection = try DatabaseQueue(path: path, configuration: configuration)
    let looked = ledger.lookedThrough
    try await connection.read { [ledger] database in
      let audit = StoreAudit(database: database, folder: store.dataFolder)
      if isFull { try audit.check(label) }
      try audit.checkFiles(label)
      try audit.checkData(after: looked, label)
      try ledger.check(database, inFull: isFull, label)
    }
    for summary in try await store.summaries() {
      // The store's own reader of the feed gives all that is there, once, in order.
      let feed = try await store.read(summary.tenant) {
        try $0.feed(FeedSpan(after: 0, through: summary.head, limit: .max)).map { ($0.position, $0.cid) }
      }
      #expect(feed.count == summary.usage.messages, label)
      #expect(zip(feed, feed.dropFirst()).allSatisfy { $0.0 < $1.0 }, label)
      ledger.lookedThrough = max(looked, summary.head)
    }
    try connection.close()
    await store.close()
  }
}

/// What was ever said about one database.
private struct CrashLedger {
  private struct Announced: Hashable {
    var tenant: DID
    var cid: String
  }

  private var acknowledged: [CrashJournal.Acknowledged] = []
  private var positions: [DID: [Int64: String]] = [:]
  private var announced: Set<Announced> = []
  private(set) var newlyAcknowledged = 0
  /// A position up to which data was compared with its CIDs.
  var lookedThrough: Int64 = 0

  mutating func read(_ lines: [CrashJournal.Line], _ label: Comment) {
    newlyAcknowledged = 0
    for line in lines {
      switch line {
      case .acknowledged(let message):
        acknowledged.append(message)
        newlyAcknowledged += 1
      case .announced(let tenant, let position, let cid):
        let earlier = positions[tenant, default: [:]].updateValue(cid, forKey: position)
        #expect(earlier == nil, "\(label): the position \(position) was given before")
        announced.insert(Announced(tenant: tenant, cid: cid))
      case .refused(_, let reason): Issue.record("\(label): refused: \(reason)")
      }
    }
    for message in acknowledged.suffix(newlyAcknowledged) {
      #expect(
        announced.contains(Announced(tenant: message.tenant, cid: message.cid)),
        "\(label): acknowledged and never announced")
    }
  }

  /// Everything that was ever acknowledged, or what was since the last look.
  func check(_ database: Database, inFull isFull: Bool, _ label: Comment) throws {
    for (tenant, positions) in positions {
      let head = try Int64.fetchOne(database, sql: "SELECT head FROM tenant WHERE did = ?", arguments: [tenant.text])
      #expect(head ?? 0 >= positions.keys.max() ?? 0, "\(label): the feed's head went back")
      let rows = try Row.fetchCursor(
        database,
        sql: """
          SELECT position, cid FROM message INDEXED BY message_feed
          WHERE tenant = (SELECT id FROM tenant WHERE did = ?) ORDER BY position
          """, arguments: [tenant.text])
      while let row = try rows.next() {
        let (position, cid): (Int64, String) = (row[0], row[1])
        // What was committed, but not yet announced when the process died, nobody knew.
        #expect(positions[position] ?? cid == cid, "\(label): another message stands at \(position)")
      }
    }
    for message in isFull ? acknowledged[...] : acknowledged.suffix(newlyAcknowledged) {
      #expect(try isKept(message, database), "\(label): lost: \(message)")
    }
  }

  /// The record has this message, or a later one; or it went with its parent, or with an older sibling's squash.
  private func isKept(_ message: CrashJournal.Acknowledged, _ database: Database) throws -> Bool {
    let statement = try database.cachedStatement(
      sql: """
        SELECT EXISTS (SELECT 1 FROM message WHERE tenant = tenant.id AND record_id = :record AND is_latest
            AND timestamp >= :time)
          OR EXISTS (SELECT 1 FROM message WHERE tenant = tenant.id AND record_id = :parent AND is_latest
            AND kind = 'delete')
          OR EXISTS (SELECT 1 FROM message INDEXED BY message_parent WHERE tenant = tenant.id AND parent_id = :parent
            AND squash AND timestamp > :time)
        FROM tenant WHERE did = :did
        """)
    return try Bool.fetchOne(
      statement,
      arguments: [
        "record": message.record.text, "time": message.timestamp.timestamp, "parent": message.parent?.text,
        "did": message.tenant.text,
      ]) ?? false
  }
}
