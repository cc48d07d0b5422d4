#if canImport(Glibc)
  import Glibc
#endif
import GRDB
public import Identity
import Wire

/// Takes an export in, for a tenant of whom the node has nothing yet: all of it, or nothing.
///
/// Every message is admitted as if it came now, in the order of the feed it came from: form, identifiers, signatures, data, the
/// protocol's rules, and the author's right. A role, a grant or an audience's key that ended later counts as it did then. What cannot
/// be admitted is left out, and named.
///
/// A file may say more than a disk holds: data is written only when a signed message promises just so much, and only while some of
/// the disk stays free.
public enum TenantImport {
  public struct Summary: Hashable, Sendable {
    public var tenant: DID
    public var messages: Int
    public var refused: [Refusal] = []
    /// Refusals beyond those that are listed.
    public var furtherRefusals = 0
    /// Records that were taken in and whose data is not there: nobody can read them until it is sent again.
    public var withoutData = 0
    /// What was not as it should be in the database before, and was put right.
    public var repairs: [String] = []
  }

  public struct Refusal: Hashable, Sendable {
    public var messageCID: String
    public var reason: String
  }

  /// Nobody else may use the folder of the database meanwhile. `directory` knows the keys of those who signed; so many bytes of the
  /// disk stay free.
  public static func run(
    _ path: String, into databasePath: String, directory: any DIDDirectory = OfflineResolver(),
    keepingFree: Int = NodeBounds.usualFreeDisk, progress: JobProgress = { _, _ in }
  ) async throws(NodeError) -> Summary {
    let signers = try ImportSigners.collected(from: path)
    return try admit(
      path, into: databasePath, resolver: await signers.documents(directory), keepingFree: keepingFree,
      progress: progress)
  }

  private static func admit(
    _ path: String, into databasePath: String, resolver: DIDDocuments, keepingFree: Int, progress: JobProgress
  ) throws(NodeError) -> Summary {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw FileCopy.failure(path) }
    defer { close(descriptor) }
    let folder = DataFolder(
      path: DataFolder.path(of: databasePath), largestStaging: .max, random: SystemRandom())
    do {
      func lines() throws -> ZstdLines {
        guard lseek(descriptor, 0, SEEK_SET) == 0 else { throw FileCopy.failure(path) }
        return try ZstdLines(descriptor, path: path, longestLine: ExportLine.longest)
      }
      var repairs: [String] = []
      let pool = try StoreRepair.open(path: databasePath, folder: folder) { repairs.append($0) }
      defer {
        try? pool.writeWithoutTransaction { try $0.execute(sql: "UPDATE node SET closed_in_order = 1") }
        try? DurableDatabase.close(pool)
      }
      return try pool.writeWithoutTransaction { database in
        var summary: Summary?
        try database.inTransaction(.immediate) {
          var admission = try ImportAdmission(lines, database, folder, resolver, keepingFree: keepingFree)
          do { summary = try admission.run(progress) } catch {
            admission.removeFiles()
            throw error
          }
          return .commit
        }
        guard var summary else { throw NodeError.badExport(line: 1, reason: "it is empty") }
        summary.repairs = repairs
        return summary
      }
    } catch {
      throw NodeError(error, path: databasePath)
    }
  }
}
