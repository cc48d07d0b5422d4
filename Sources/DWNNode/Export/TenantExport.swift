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
  }

  private static let messagesAtATime = 64
  private static let attempts = 5

  public static func run(
    of tenant: DID, in databasePath: String, to path: String, at time: WallTime,
    progress: JobProgress = { _, _ in }
  ) throws(NodeError) -> Summary {
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
          var summary = try write(tenant, archive, descriptor, part, time, progress)
          guard fsync(descriptor) == 0 else { throw FileCopy.failure(part) }
          summary.compressedBytes = FileCopy.size(part) ?? 0
          try FileCopy.move(file: part, to: path)
          return summary
        } catch let vanished as VanishedData {
          // The node removed large data from under the export: once more, of a later instant.
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
    _ tenant: DID, _ archive: NodeArchive, _ descriptor: Int32, _ path: String, _ time: WallTime,
    _ progress: JobProgress
  ) throws -> Summary {
    try archive.queue.read { database in
      guard
        let id = try Int64.fetchOne(database, sql: "SELECT id FROM tenant WHERE did = ?", arguments: [tenant.text])
      else { throw NodeError.unknownTenant(tenant.text) }
      let messages = SQLiteMessages(database: database, tenant: id, folder: archive.folder)
      let usage = try messages.usage()
      let writer = try ZstdWriter(descriptor, path: path)
      var summary = Summary(messages: 0, bytes: 0, compressedBytes: 0)
      func put(_ line: ExportLine) throws {
        let text = line.json.encoded
        summary.bytes += text.count + 1
        try writer.write(text + [0x0a])
      }
      try put(.head(.init(tenant: tenant, exportedAt: time, messages: usage.messages)))
      var span = FeedSpan(after: 0, through: try messages.head(), limit: messagesAtATime)
      while true {
        let found = try messages.feed(span)
        for message in found {
          try write(message, of: messages, put)
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

  private static func write(
    _ message: StoredMessage, of messages: SQLiteMessages, _ put: (ExportLine) throws -> Void
  ) throws {
    let kept = ExportLine.Kept(arrived: message.arrived, share: message.share, grant: message.grantID)
    let data = try messages.content(of: message)
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
