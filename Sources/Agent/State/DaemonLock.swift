import Cryptography
import Foundation
import Glibc
import Wire

/// The right to write in a state directory, or in the folder of a node by itself: held by the daemon or that node, or by a command while
/// neither runs. It ends with the process.
public final class DaemonLock: Sendable {
  private static let file = "meshd.lock"
  private static let nodeMark = "node "

  private let descriptor: Int32

  /// What it is held for.
  public enum Purpose: Sendable {
    case command
    case daemon
    /// `meshd dwn serve`.
    case node
  }

  /// `nil` if somebody else holds it. What runs for long leaves its process's number in the file, and what it is, for `holder`.
  public init?(_ directory: StateDirectory, for purpose: Purpose = .command) throws(AgentError) {
    let path = directory.file(Self.file)
    let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard descriptor >= 0 else {
      throw .unusableStateDirectory(path: path, reason: StateDirectory.errnoText())
    }
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
      close(descriptor)
      return nil
    }
    ftruncate(descriptor, 0)
    let mark: String? =
      switch purpose {
      case .command: nil
      case .daemon: "\(getpid())\n"
      case .node: Self.nodeMark + "\(getpid())\n"
      }
    if let bytes = mark.map({ Array($0.utf8) }) { _ = pwrite(descriptor, bytes, bytes.count, 0) }
    self.descriptor = descriptor
  }

  deinit {
    ftruncate(descriptor, 0)
    // Explicitly: a child that is just being started has a copy of the descriptor for a moment, and would keep the lock.
    flock(descriptor, LOCK_UN)
    close(descriptor)
  }

  /// Who may write in a state directory now.
  public enum Holder: Hashable, Sendable {
    case nobody
    /// The process of this number, which has the locked file open.
    case daemon(Int32)
    /// The same, and it is a node by itself.
    case node(Int32)
    /// A command, or a process that cannot be seen from here.
    case somebody
  }

  /// Looks, and makes nothing.
  public static func holder(of directory: StateDirectory) throws(AgentError) -> Holder {
    let path = directory.file(file)
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
    guard descriptor >= 0 else {
      if errno == ENOENT { return .nobody }
      throw .unusableStateDirectory(path: path, reason: StateDirectory.errnoText())
    }
    defer { close(descriptor) }
    if flock(descriptor, LOCK_SH | LOCK_NB) == 0 {
      flock(descriptor, LOCK_UN)
      return .nobody
    }
    var bytes = [UInt8](repeating: 0, count: 32)
    let count = pread(descriptor, &bytes, bytes.count, 0)
    var info = stat()
    guard count > 1, bytes[count - 1] == 0x0a else { return .somebody }
    let mark = String(decoding: bytes[..<(count - 1)], as: UTF8.self)
    let isNode = mark.hasPrefix(nodeMark)
    guard let process = Int32(mark.dropFirst(isNode ? nodeMark.count : 0)), process > 1,
      fstat(descriptor, &info) == 0, has(process, open: info)
    else { return .somebody }
    return isNode ? .node(process) : .daemon(process)
  }

  /// Whether a process has a file open. A number that was left behind by a process before the last one leads to none that has.
  private static func has(_ process: Int32, open file: stat) -> Bool {
    let folder = "/proc/\(process)/fd"
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    return names.contains { name in
      var info = stat()
      return stat("\(folder)/\(name)", &info) == 0 && info.st_dev == file.st_dev && info.st_ino == file.st_ino
    }
  }
}

extension StateDirectory {
  /// Who is in the way of whoever did not get the lock, and what to do.
  var heldByAnother: AgentError {
    switch try? DaemonLock.holder(of: self) {
    case .daemon: .daemonRunning(directory: path)
    case .node(let process): .nodeRunning(directory: path, process: process)
    case .nobody, .somebody, nil: .busy(directory: path, log: logPath)
    }
  }

  /// Where the daemon of this directory listens: in it, or, since a socket's path may have 107 bytes at most, below `/run/meshd`
  /// under a name made from the directory's.
  public var socketPath: String {
    let plain = file("meshd.sock")
    guard plain.utf8.count > 100 else { return plain }
    return "/run/meshd/" + Hex.encode(SHA2.sha256(Array(path.utf8)).prefix(8)) + ".sock"
  }

  public var logPath: String { file("meshd.log") }
}
