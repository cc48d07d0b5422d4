import Glibc
import Synchronization

/// The log of a background daemon, to which its standard output and error lead: two files of a bounded size, which their owner alone may read.
///
/// When the one that is written is full it takes the place of the other, `meshd.log.1`, and the next line begins another. Whatever else
/// the process says on its standard error, such as why it crashed, goes to the file that is written at that moment.
public final class LogFile: Sendable {
  /// How many bytes of lines each of the two has at most.
  private static let limit = 16 << 20

  private let path: String
  private let limit: Int
  private let descriptors: [Int32]
  /// Bytes in the file that is written.
  private let size: Mutex<Int>

  /// The file to which the descriptors lead already. `nil`: they lead elsewhere.
  public convenience init?(continuing path: String) {
    self.init(continuing: path, on: [STDOUT_FILENO, STDERR_FILENO], limit: Self.limit)
  }

  init?(continuing path: String, on descriptors: [Int32], limit: Int) {
    var (file, open) = (stat(), stat())
    guard lstat(path, &file) == 0 else { return nil }
    for descriptor in descriptors {
      guard fstat(descriptor, &open) == 0, open.st_dev == file.st_dev, open.st_ino == file.st_ino else { return nil }
    }
    self.path = path
    self.limit = limit
    self.descriptors = descriptors
    size = Mutex(Int(file.st_size))
  }

  /// Opens the log for a daemon that starts: the file that is there, or another if it is full.
  static func open(_ path: String, limit: Int = limit) throws(AgentError) -> Int32 {
    var info = stat()
    if lstat(path, &info) == 0, info.st_size >= limit { rename(path, path + ".1") }
    let descriptor = Glibc.open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard descriptor >= 0 else { throw .cannotWrite(path: path, reason: StateDirectory.errnoText()) }
    return descriptor
  }

  /// Writes a line, which no other interrupts.
  func write(_ line: [UInt8]) {
    size.withLock { size in
      if size > 0, size + line.count > limit { size = begin() ?? size }
      if let descriptor = descriptors.last { size += max(0, Glibc.write(descriptor, line, line.count)) }
    }
  }

  /// Begins another file. Its size; `nil` if there can be none at this moment: the next line tries again, and nothing is lost.
  private func begin() -> Int? {
    rename(path, path + ".1")
    guard let file = try? Self.open(path, limit: limit) else { return nil }
    defer { close(file) }
    for descriptor in descriptors { dup2(file, descriptor) }
    var info = stat()
    return fstat(file, &info) == 0 ? Int(info.st_size) : 0
  }
}
