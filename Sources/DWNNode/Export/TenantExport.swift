#if canImport(Glibc)
  import Glibc
#endif
import DWN
import GRDB
public import Identity
public import Wire

/// Everything that a node has of one tenant, of one instant, as lines of text: what the tenant takes along to another node.
///
/// Made while the node runs. The file has its name once it is complete and on the disk, and never takes the place of another.
public enum TenantExport {
  public struct Summary: Hashable, Sendable {
    public var messages: Int
    /// Of messages and data, before compression.
    public var bytes: Int
    /// Of the file.
    public var compressedBytes: Int
    /// Messages whose data is lost: they are in the export without it.
    public var withoutData = 0
  }

  private static let messagesAtATime = 64
  private static let attempts = 5
  /// Files of large data that are held open while the node may remove them.
  private static let mostHeld = 512

  public static func run(
    of tenant: DID, in databasePath: String, to path: String, at time: WallTime,
    progress: JobProgress = { _, _ in }
  ) throws(NodeError) -> Summary {
    try WriteAheadLog.check(databasePath)
    let archive = try NodeArchive(databasePath: databasePath)
    defer { archive.close() }
    guard !FileCopy.exists(path) else { throw .wouldOverwrite(path: path) }
    FileCopy.removeParts(of: path)
    let part = FileCopy.partName(of: path)
    do {
      var attempts = attempts
      while true {
        let descriptor = try FileCopy.create(part)
        defer { close(descriptor) }
        flock(descriptor, LOCK_EX)
        do {
          var summary = try write(tenant, archive, descriptor, part, time, isLast: attempts == 1, progress)
          guard fsync(descriptor) == 0 else { throw FileCopy.failure(part) }
          summary.compressedBytes = FileCopy.size(part) ?? 0
          try FileCopy.move(file: part, to: path)
          return summary
        } catch let vanished as VanishedData {
          // The node removed large data from under the export: once more, of a later instant. What is never there is lost.
          attempts -= 1
          guard attempts > 0 else {
            throw NodeError.databaseFailed(path: databasePath, reason: "the data file \(vanished.name) is not there")
          }
          unlink(part)
        }
      }
    } catch {
      unlink(part)
      throw NodeError(error, path: databasePath)
    }
  }

  private static func write(
    _ tenant: DID, _ archive: NodeArchive, _ descriptor: Int32, _ path: String, _ time: WallTime, isLast: Bool,
    _ progress: JobProgress
  ) throws -> Summary {
    try archive.queue.read { database in
      guard
        let id = try Int64.fetchOne(database, sql: "SELECT id FROM tenant WHERE did = ?", arguments: [tenant.text])
      else { throw NodeError.unknownTenant(tenant.text) }
      let messages = SQLiteMessages(database: database, tenant: id, folder: archive.folder)
      let held = try heldFiles(of: id, database, archive.folder)
      let usage = try messages.usage()
      let writer = try ZstdWriter(descriptor, path: path)
      var summary = Summary(messages: 0, bytes: 0, compressedBytes: 0)
      func put(_ line: ExportLine) throws {
        let text = line.json.encoded
        summary.bytes += text.count + 1
        try writer.write(text + [0x0a])
      }
      func data(of message: StoredMessage) throws -> MessageData? {
        do { return try messages.content(of: message) } catch let vanished as VanishedData {
          if let file = held[vanished.name] { return .file(file) }
          guard isLast else { throw vanished }
          summary.withoutData += 1
          return nil
        }
      }
      try put(.head(.init(tenant: tenant, exportedAt: time, messages: usage.messages)))
      var span = FeedSpan(after: 0, through: try messages.head(), limit: messagesAtATime)
      while true {
        let found = try messages.feed(span)
        for message in found {
          try write(message, data(of: message), put)
          summary.messages += 1
          try progress(summary.messages, usage.messages)
        }
        guard let last = found.last else { break }
        span.after = last.position
      }
      try put(.end(messages: summary.messages))
      try writer.finish()
      return summary
    }
  }

  /// What was replaced since is still read, by those who have it open.
  private static func heldFiles(
    of tenant: Int64, _ database: Database, _ folder: DataFolder
  ) throws -> [String: DataFile] {
    var held: [String: DataFile] = [:]
    let rows = try Row.fetchAll(
      database,
      sql: """
        SELECT name, data_size FROM data_file JOIN message ON message.id = data_file.message
        WHERE tenant = ? ORDER BY position DESC LIMIT \(mostHeld)
        """, arguments: [tenant])
    for row in rows { held[row[0]] = try folder.file(row[0], size: row[1] as Int? ?? 0) }
    return held
  }

  private static func write(
    _ message: StoredMessage, _ data: MessageData?, _ put: (ExportLine) throws -> Void
  ) throws {
    let kept = ExportLine.Kept(arrived: message.arrived, share: message.share, grant: message.grantID)
    let isSmall = (data?.size ?? 0) <= NodeLimits.inlineData
    let content: ExportLine.Entry.Content =
      switch data {
      case nil: .none
      case let data? where isSmall: .bytes(try data.bytes())
      case let data?: .following(data.size)
      }
    try put(.message(.init(message: try message.message(), content: content, kept: kept)))
    guard let data, !isSmall else { return }
    for start in stride(from: 0, to: data.size, by: ExportLine.chunk) {
      try put(.data(try data.read(start..<min(start + ExportLine.chunk, data.size))))
    }
  }
}
