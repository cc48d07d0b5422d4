import Foundation
import Glibc
import Synchronization
public import Wire

/// Starts the daemon as a process of its own and listens to what it says while it starts.
///
/// The child gets a pipe: a JSON object a line, `{"state":"progress"|"ready"|"failed", …}`. Its standard output and error are
/// the log, a `LogFile`.
public struct BackgroundDaemon {
  public enum Event: Sendable {
    /// Something that takes time: what is waited for.
    case progress(String)
    /// The interface is up and the first netmap applied.
    case ready(JSONValue)
    case failed(String)
  }

  private let pipe: Int32
  private let process: pid_t
  private var pending: [UInt8] = []

  /// Number under which the child finds the pipe.
  public static let reportDescriptor: Int32 = 3
  /// `POSIX_SPAWN_SETSID` of glibc, which Swift does not see: the daemon outlives the terminal.
  private static let newSession: Int16 = 0x80

  /// Runs this program again with the given arguments.
  public init(arguments: [String], log: String) throws(AgentError) {
    var ends: [Int32] = [-1, -1]
    guard Glibc.pipe(&ends) == 0 else { throw .failed("cannot make a pipe: \(StateDirectory.errnoText())") }
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    defer { close(ends[1]) }
    let output: Int32
    do { output = try LogFile.open(log) } catch {
      close(ends[0])
      throw error
    }
    defer { close(output) }

    // Whoever started this program may wait for the end of something that it left open.
    for name in (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")) ?? [] {
      if let descriptor = Int32(name), descriptor > STDERR_FILENO { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
    }

    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
    posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO)
    posix_spawn_file_actions_adddup2(&actions, output, STDERR_FILENO)
    posix_spawn_file_actions_adddup2(&actions, ends[1], Self.reportDescriptor)
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    posix_spawnattr_setflags(&attributes, Self.newSession)

    var child: pid_t = 0
    var argv: [UnsafeMutablePointer<CChar>?] = (["meshd"] + arguments).map { strdup($0) } + [nil]
    defer { for argument in argv { free(argument) } }
    let status = posix_spawn(&child, "/proc/self/exe", &actions, &attributes, &argv, environ)
    guard status == 0 else {
      close(ends[0])
      throw .failed("cannot start the daemon: \(String(cString: strerror(status)))")
    }
    pipe = ends[0]
    process = child
  }

  /// The next thing that the daemon says; `nil` when the deadline passes first. A daemon that dies says `failed`.
  public mutating func next(until deadline: Instant) -> Event? {
    while true {
      if let end = pending.firstIndex(of: 0x0a) {
        let line = Array(pending[..<end])
        pending.removeFirst(end + 1)
        if let event = Self.event(line) { return event }
        continue
      }
      let left = deadline - Instant.now()
      guard left > .zero else { return nil }
      var poller = pollfd(fd: pipe, events: Int16(POLLIN), revents: 0)
      guard poll(&poller, 1, Int32(clamping: left.nanoseconds / 1_000_000 + 1)) > 0 else { continue }
      var buffer = [UInt8](repeating: 0, count: 4096)
      let count = read(pipe, &buffer, buffer.count)
      if count > 0 {
        pending.append(contentsOf: buffer[..<count])
      } else if count == 0 || errno != EINTR {
        return .failed(exitText())
      }
    }
  }

  private func exitText() -> String {
    var status: Int32 = 0
    guard waitpid(process, &status, 0) == process else { return "the daemon ended while it was starting" }
    let signal = status & 0x7f
    return signal == 0
      ? "the daemon ended with code \(status >> 8 & 0xff) while it was starting"
      : "the daemon was ended by signal \(signal) while it was starting"
  }

  private static func event(_ line: [UInt8]) -> Event? {
    guard let json = try? JSONValue(parsing: line, depth: 32) else { return nil }
    switch json["state"]?.string {
    case "progress": return json["text"]?.string.map { .progress($0) }
    case "failed": return .failed(json["text"]?.string ?? "the daemon failed")
    case "ready": return .ready(json["result"] ?? .null)
    default: return nil
    }
  }
}

/// The child's end of that pipe. In the foreground there is none, and nothing is sent; nor is anything after the start has
/// succeeded or failed.
public final class StartupReport: Sendable {
  /// `nil` once it is closed: its number may then be that of another file.
  private let descriptor: Mutex<Int32?>

  public init(descriptor: Int32?) {
    self.descriptor = Mutex(descriptor)
    // A parent that no longer listens must not end the daemon.
    signal(SIGPIPE, SIG_IGN)
    if let descriptor { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
  }

  public func progress(_ text: String) { send(["state": "progress", "text": .string(text)]) }

  public func ready(_ result: JSONValue) {
    send(["state": "ready", "result": result], isLast: true)
  }

  public func failed(_ text: String) {
    send(["state": "failed", "text": .string(text)], isLast: true)
  }

  private func send(_ json: JSONValue, isLast: Bool = false) {
    let line = json.encoded + [0x0a]
    descriptor.withLock { descriptor in
      guard let open = descriptor else { return }
      _ = write(open, line, line.count)
      guard isLast else { return }
      close(open)
      descriptor = nil
    }
  }
}
