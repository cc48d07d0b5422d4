import Cryptography
import Foundation
import Glibc
import Wire

/// The folder in which one machine identity and its network live: owner only, every file replaced as a whole.
public struct StateDirectory: Sendable, Hashable {
  public let path: String

  /// Names of files that other programs do not have: a folder with one of them is one of this program.
  private static let marks: Set<String> = ["identity.json", "meshd.lock", "dwn.sqlite", "mesh.sqlite", "relay.key"]
  /// Names that others have, too: a folder is one of this program if it has nothing else.
  private static let commonNames: Set<String> = ["config.json", "profiles", "settings.json", "network.json"]

  /// Opens the folder, making it (0700) if it is not there. A folder that others may enter is narrowed if it is empty or was in
  /// use before. One that belongs to somebody else is refused, and so is one with other things in it: to close `/tmp` or a
  /// home folder to others would break what does not belong to this program.
  public init(opening path: String) throws(AgentError) {
    let absolute = try Self.absolute(path)
    if let obstacle = Self.make(absolute) { throw .unusableStateDirectory(path: absolute, reason: obstacle) }
    let info = try Self.folder(absolute)
    if info.st_mode & 0o077 != 0 {
      guard Self.isOurs(absolute) else {
        throw .unusableStateDirectory(
          path: absolute,
          reason: "others may enter it, and it holds other things: name a folder of its own, such as \(absolute)/meshd")
      }
      guard chmod(absolute, 0o700) == 0 else {
        throw .unusableStateDirectory(
          path: absolute, reason: "others may read it, and that cannot be changed: \(Self.errnoText())")
      }
    }
    self.path = absolute
  }

  /// Finds the folder for whoever only looks at it, and changes nothing. Throws `noStateDirectory` if there is none.
  public init(lookingAt path: String) throws(AgentError) {
    let absolute = try Self.absolute(path)
    _ = try Self.folder(absolute)
    self.path = absolute
  }

  /// Makes a folder for its owner alone, and so those above it that are not there. Returns what is in the way.
  private static func make(_ path: String) -> String? {
    if mkdir(path, 0o700) == 0 || errno == EEXIST { return nil }
    let (code, obstacle) = (errno, errnoText())
    let parent = (path as NSString).deletingLastPathComponent
    guard code == ENOENT, parent != path, access(parent, F_OK) != 0 else { return obstacle }
    if let obstacle = make(parent) { return obstacle }
    return mkdir(path, 0o700) == 0 || errno == EEXIST ? nil : errnoText()
  }

  private static func absolute(_ path: String) throws(AgentError) -> String {
    guard !path.isEmpty else { throw .unusableStateDirectory(path: "\"\"", reason: "the path is empty") }
    return path.hasPrefix("/") ? path : FileManager.default.currentDirectoryPath + "/" + path
  }

  private static func folder(_ path: String) throws(AgentError) -> stat {
    var info = stat()
    guard stat(path, &info) == 0 else {
      if errno == ENOENT { throw .noStateDirectory(path) }
      throw .unusableStateDirectory(path: path, reason: errnoText())
    }
    guard info.st_mode & S_IFMT == S_IFDIR else {
      throw .unusableStateDirectory(path: path, reason: "it is not a folder")
    }
    guard info.st_uid == geteuid() || geteuid() == 0 else {
      throw .unusableStateDirectory(path: path, reason: "it belongs to another user (uid \(info.st_uid))")
    }
    return info
  }

  private static func isOurs(_ folder: String) -> Bool {
    guard let names = try? FileManager.default.contentsOfDirectory(atPath: folder) else { return false }
    return !marks.isDisjoint(with: names) || commonNames.isSuperset(of: names)
  }

  public func file(_ name: String) -> String { path + "/" + name }

  /// `nil` if there is no such file. Refuses files over `limit` bytes.
  public func read(_ name: String, limit: Int = 1 << 20) throws(AgentError) -> [UInt8]? {
    let path = file(name)
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else {
      if errno == ENOENT { return nil }
      throw .unusableStateDirectory(path: path, reason: Self.errnoText())
    }
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65536)
    defer { wipe(&buffer) }
    while true {
      let count = Glibc.read(descriptor, &buffer, buffer.count)
      if count < 0 {
        if errno == EINTR { continue }
        throw .unusableStateDirectory(path: path, reason: Self.errnoText())
      }
      if count == 0 { return bytes }
      bytes.append(contentsOf: buffer[..<count])
      guard bytes.count <= limit else {
        throw .corruptFile(path: path, reason: "it is larger than \(limit) bytes", advice: "move it away")
      }
    }
  }

  /// Writes a file of mode 0600 so that after any crash either the old or the new one is there: a temporary file, flushed, then
  /// renamed, then the folder flushed.
  public func write(_ name: String, _ bytes: [UInt8]) throws(AgentError) {
    try write(name, bytes) { rename($0, $1) == 0 }
  }

  /// The same for a file that is never replaced. `false` if it is there already, by whomever it was written meanwhile.
  func create(_ name: String, _ bytes: [UInt8]) throws(AgentError) -> Bool {
    var isNew = true
    try write(name, bytes) { temporary, target in
      if link(temporary, target) != 0 {
        guard errno == EEXIST else { return false }
        isNew = false
      }
      unlink(temporary)
      return true
    }
    return isNew
  }

  private func write(
    _ name: String, _ bytes: [UInt8], enter: (_ temporary: String, _ target: String) -> Bool
  ) throws(AgentError) {
    let target = file(name)
    // A name of its own: two that write the same file at once must not meet in it.
    let temporary = "\(target).\(Hex.encode(SystemRandom().bytes(8))).tmp"
    let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard descriptor >= 0 else { throw .cannotWrite(path: target, reason: Self.errnoText()) }
    var offset = 0
    var failure: String?
    while offset < bytes.count, failure == nil {
      let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress! + offset, bytes.count - offset) }
      if count > 0 {
        offset += count
      } else if errno != EINTR {
        failure = Self.errnoText()
      }
    }
    if failure == nil, fchmod(descriptor, 0o600) != 0 || fsync(descriptor) != 0 { failure = Self.errnoText() }
    close(descriptor)
    if failure == nil, !enter(temporary, target) { failure = Self.errnoText() }
    if let failure {
      unlink(temporary)
      throw .cannotWrite(path: target, reason: failure)
    }
    let folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    if folder >= 0 {
      fsync(folder)
      close(folder)
    }
  }

  /// Whether there is such a file. Throws where that cannot be seen.
  func has(_ name: String) throws(AgentError) -> Bool {
    var info = stat()
    if stat(file(name), &info) == 0 { return true }
    guard errno == ENOENT else { throw .unusableStateDirectory(path: file(name), reason: Self.errnoText()) }
    return false
  }

  /// Whether a file cannot be made here now: the disk is full, or takes no writes.
  var takesNoWrites: Bool {
    // More than what a small file has in its inode, as databases need it.
    let probe = file("\(Hex.encode(SystemRandom().bytes(8))).tmp")
    let descriptor = open(probe, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard descriptor >= 0 else { return true }
    defer {
      close(descriptor)
      unlink(probe)
    }
    return posix_fallocate(descriptor, 0, 64 << 10) != 0
  }

  public func remove(_ name: String) throws(AgentError) {
    if unlink(file(name)) != 0, errno != ENOENT {
      throw .cannotWrite(path: file(name), reason: Self.errnoText())
    }
  }

  static func errnoText() -> String { String(cString: strerror(errno)) }
}
