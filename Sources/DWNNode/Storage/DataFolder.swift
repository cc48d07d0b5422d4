#if canImport(Glibc)
  import Glibc
#endif
import Synchronization
import Wire

/// The folder beside a database with the data that is too large for a row. A file is in use exactly while a message names it; what
/// a crash left behind is removed when the database is opened.
final class DataFolder: Sendable {
  let path: String
  /// Bytes that wait for their messages.
  private let staged: Mutex<CallerShares>
  private let random: any RandomSource

  /// `largestData`: what somebody may bring at once, and so the least that a part of the staging room is.
  init(path: String, largestStaging: Int, largestData: Int = 0, random: any RandomSource) {
    self.path = path
    staged = Mutex(
      CallerShares(
        of: largestStaging, perNetwork: max(largestStaging / 8, largestData),
        perSite: max(largestStaging / 4, largestData)))
    self.random = random
  }

  /// The folder that belongs to a database.
  static func path(of databasePath: String) -> String { databasePath + "-data" }

  func path(of name: String) -> String { path + "/" + name }

  /// The file that a message names; `nil` if it is not there, or has another size. Throws when that cannot be told.
  func file(_ name: String, size: Int) throws(NodeError) -> DataFile? {
    guard Self.isName(name) else { return nil }
    return try DataFile.kept(name, path: path(of: name), size: size)
  }

  /// A new empty file under a name that nobody has. Blocks for as long as the disk takes.
  func create() throws(NodeError) -> (name: String, descriptor: Int32) {
    if mkdir(path, 0o700) == 0 {
      try FileCopy.giveAway(folder: path)
      try flush(String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)]))
    } else if errno != EEXIST {
      throw failure()
    }
    var bytes = [UInt8](repeating: 0, count: 16)
    bytes.withUnsafeMutableBytes { random.fill($0) }
    let name = Hex.encode(bytes)
    let descriptor = Glibc.open(path(of: name), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard descriptor >= 0 else { throw failure() }
    try FileCopy.giveAway(descriptor, in: path)
    return (name, descriptor)
  }

  /// Makes the names of its files as durable as the files. Blocks.
  func flush() throws(NodeError) { try flush(path) }

  private func flush(_ directory: String) throws(NodeError) {
    let descriptor = Glibc.open(directory.isEmpty ? "." : directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { throw failure() }
    defer { Glibc.close(descriptor) }
    guard fsync(descriptor) == 0 else { throw failure() }
  }

  func remove(_ name: String) {
    if Self.isName(name) { unlink(path(of: name)) }
  }

  /// The names of all files in it; none if there is no such folder. Throws when it cannot be read to its end: a file that is not
  /// listed then may well be there.
  func names() throws(NodeError) -> [String] {
    guard let directory = opendir(path) else {
      if errno == ENOENT { return [] }
      throw unlisted()
    }
    defer { closedir(directory) }
    var names: [String] = []
    while true {
      errno = 0
      guard let entry = readdir(directory) else {
        guard errno == 0 else { throw unlisted() }
        return names
      }
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if Self.isName(name) { names.append(name) }
    }
  }

  private func unlisted() -> NodeError {
    .cannotReadOrWrite(
      path: path, reason: "large data cannot be listed: \(String(cString: strerror(errno)).lowercased())")
  }

  /// Counts bytes that begin to wait; `false` if there is no room for them.
  fileprivate func reserve(_ bytes: Int, for holder: StagingHolder) -> Bool {
    staged.withLock { $0.take(bytes, for: holder.caller, within: holder == .tenant ? .max : $0.whole / 4 * 3) }
  }

  fileprivate func release(_ bytes: Int, of holder: StagingHolder) {
    guard bytes > 0 else { return }
    staged.withLock { $0.give(bytes, for: holder.caller) }
  }

  func failure() -> NodeError {
    if errno == ENOSPC || errno == EDQUOT { return .diskFull(path: path) }
    return .databaseFailed(path: path, reason: String(cString: strerror(errno)).lowercased())
  }

  /// Names are ours alone: 32 hexadecimal digits.
  private static func isName(_ name: String) -> Bool {
    name.utf8.count == 32 && name.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
  }
}

/// For whose message data waits. The last quarter of the room is for tenants themselves; of what others have, each network and each site
/// has a part.
enum StagingHolder: Hashable, Sendable {
  case tenant
  case other(Caller)

  /// Whose part it counts in; a tenant's in none.
  fileprivate var caller: Caller {
    switch self {
    case .tenant: Caller(nil)
    case .other(let caller): caller
    }
  }
}

/// The share of one piece of data in what a folder holds for messages that are still to come. Given back when nobody has it any more.
final class StagingRoom: Sendable {
  private let folder: DataFolder
  private let holder: StagingHolder
  private let bytes = Mutex(0)

  init(in folder: DataFolder, for holder: StagingHolder) {
    self.folder = folder
    self.holder = holder
  }

  deinit { folder.release(bytes.withLock { $0 }, of: holder) }

  /// `false` if there is no room for so many bytes more.
  func grow(by count: Int) -> Bool {
    guard folder.reserve(count, for: holder) else { return false }
    bytes.withLock { $0 += count }
    return true
  }
}
