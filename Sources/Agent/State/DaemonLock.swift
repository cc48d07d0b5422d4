import Foundation
import Glibc
import Cryptography
import Wire

/// The right to write in a state directory: held by the daemon, or by a command while no daemon runs. It ends with the process.
public final class DaemonLock: Sendable {
  private let descriptor: Int32

  /// `nil` if somebody else holds it.
  public init?(_ directory: StateDirectory) throws(AgentError) {
    let path = directory.file("meshd.lock")
    let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard descriptor >= 0 else {
      throw .unusableStateDirectory(path: path, reason: StateDirectory.errnoText())
    }
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
      close(descriptor)
      return nil
    }
    self.descriptor = descriptor
  }

  deinit {
    // Explicitly: a child that is just being started has a copy of the descriptor for a moment, and would keep the lock.
    flock(descriptor, LOCK_UN)
    close(descriptor)
  }
}

extension StateDirectory {
  /// Where the daemon of this directory listens: in it, or, since a socket's path may have 107 bytes at most, below `/run/meshd`
  /// under a name made from the directory's.
  public var socketPath: String {
    let plain = file("meshd.sock")
    guard plain.utf8.count > 100 else { return plain }
    return "/run/meshd/" + Hex.encode(SHA2.sha256(Array(path.utf8)).prefix(8)) + ".sock"
  }

  public var logPath: String { file("meshd.log") }
}
