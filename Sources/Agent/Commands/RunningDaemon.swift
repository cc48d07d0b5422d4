import Glibc
import Wire

/// A daemon that answers on its control socket, to be stopped.
public struct RunningDaemon: Sendable {
  public let processID: Int32
  private let instance: String
  private let client: ControlSocketClient
  private let directory: StateDirectory

  /// `nil` if none is running. Throws if one is there that does not answer yet, or no more.
  public init?(_ directory: StateDirectory) throws(AgentError) {
    client = ControlSocketClient(directory)
    self.directory = directory
    guard let status = try client.send(.status)?.body, let pid = status["pid"]?.integer,
      let instance = status["instanceID"]?.string
    else {
      guard try DaemonLock(directory) != nil else {
        throw .failed(
          "a daemon or a command is starting or ending in \(directory.path): try again in a moment; its log is "
            + directory.logPath)
      }
      return nil
    }
    self.processID = Int32(truncatingIfNeeded: pid)
    self.instance = instance
  }

  /// Asks it to end and waits until its process is gone.
  public func end(within limit: Duration) async throws(AgentError) {
    if let answer = try client.send(.shutdown(instance: instance)), answer.status != 200 {
      throw .daemonAnswers(answer.body["error"]?.string ?? "the daemon refused to stop")
    }
    let deadline = Instant.now() + limit
    while !Self.hasEnded(processID) {
      guard Instant.now() < deadline else {
        throw .failed(
          "the daemon (PID \(processID)) has not ended after \(Int(limit.seconds)) s; its log is \(directory.logPath)")
      }
      try? await Task.sleep(for: .milliseconds(20))
    }
  }

  /// A process that nobody collects, as in a container without an init, has ended too.
  static func hasEnded(_ process: Int32) -> Bool {
    if kill(process, 0) != 0, errno == ESRCH { return true }
    guard let file = fopen("/proc/\(process)/stat", "re") else { return false }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 512)
    let count = fread(&line, 1, line.count, file)
    // `pid (name) state …`, where the name may hold anything.
    let text = String(decoding: line[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    guard let end = text.lastIndex(of: ")") else { return false }
    return text[end...].dropFirst(2).first.map { $0 == "Z" || $0 == "X" } ?? false
  }
}
