import CLinux
import Glibc
import Wire

/// The daemon of a state directory, to be stopped.
public struct RunningDaemon: Sendable {
  public let processID: Int32
  /// `nil`: it does not answer on its control socket.
  private let instance: String?
  private let client: ControlSocketClient
  private let directory: StateDirectory

  /// What a person sees of a daemon's end.
  public enum Progress: Hashable, Sendable {
    /// It was told by a signal, since it does not answer on its socket.
    case signalled
    /// It is still there after so long a time.
    case waiting(Duration)
    case killed
  }

  /// Between two words about the wait.
  static let reportInterval: Duration = .seconds(5)
  /// How long a process takes to go that was killed.
  static let deathLimit: Duration = .seconds(10)

  /// `nil` if none is running. Throws if a command works in the directory, or a daemon holds it that cannot be seen from here.
  public init?(_ directory: StateDirectory, patience: Duration = .seconds(5)) throws(AgentError) {
    client = ControlSocketClient(directory)
    self.directory = directory
    let holder: DaemonLock.Holder
    do throws(AgentError) {
      if let status = try client.send(.status, timeout: patience)?.body, let pid = status["pid"]?.integer,
        let instance = status["instanceID"]?.string
      {
        self.processID = Int32(truncatingIfNeeded: pid)
        self.instance = instance
        return
      }
      holder = try DaemonLock.holder(of: directory)
    } catch {
      // A daemon that hangs keeps its socket and its lock.
      holder = try DaemonLock.holder(of: directory)
      if case .somebody = holder { throw error }
    }
    switch holder {
    case .nobody: return nil
    case .daemon(let process):
      processID = process
      instance = nil
    case .somebody:
      throw .busy(directory: directory.path, log: directory.logPath)
    case .node(let process): throw .nodeRunning(directory: directory.path, process: process)
    }
  }

  /// Asks it to end, waits until its process is gone, and kills it if that takes too long: within `limit` if it answers on its socket,
  /// else within `hungLimit`.
  public func end(
    within limit: Duration = .seconds(20), hungLimit: Duration = .seconds(5),
    progress: (Progress) -> Void = { _ in }
  ) async throws(AgentError) {
    let isAsked = try ask()
    if !isAsked {
      try signal(SIGTERM)
      progress(.signalled)
    }
    if await hasEnded(within: isAsked ? limit : hungLimit, progress) { return }
    try signal(SIGKILL)
    progress(.killed)
    guard await hasEnded(within: Self.deathLimit, { _ in }) else {
      throw .failed("the daemon (PID \(processID)) was killed and does not go: the kernel holds it")
    }
    // A daemon that was killed could not take its socket away. Whoever has the lock now may have made another.
    if let lock = try DaemonLock(directory) {
      unlink(directory.socketPath)
      withExtendedLifetime(lock) {}
    }
  }

  /// Whether it said that it would end.
  private func ask() throws(AgentError) -> Bool {
    guard let instance else { return false }
    let answer: ControlResponse?
    do throws(AgentError) { answer = try client.send(.shutdown(instance: instance)) } catch { return false }
    guard let answer else { return true }
    guard answer.status == 200 else {
      throw .daemonAnswers(answer.body["error"]?.string ?? "the daemon refused to stop")
    }
    return true
  }

  /// Signals the process while it is known to be this directory's daemon, and no other that has its number.
  private func signal(_ number: Int32) throws(AgentError) {
    let process = clinux_process_open(processID)
    guard process >= 0 else {
      if process == -ESRCH { return }
      throw .failed("the daemon (PID \(processID)) cannot be ended: \(String(cString: strerror(-process)))")
    }
    defer { close(process) }
    switch try DaemonLock.holder(of: directory) {
    case .nobody: return
    case .daemon(processID): break
    case .daemon, .node, .somebody:
      throw .failed(
        "the process \(processID) does not hold the lock of \(directory.path) (any more): it was not touched")
    }
    let status = clinux_process_signal(process, number)
    guard status == 0 || status == -ESRCH else {
      throw .failed("the daemon (PID \(processID)) cannot be ended: \(String(cString: strerror(-status)))")
    }
  }

  private func hasEnded(within limit: Duration, _ progress: (Progress) -> Void) async -> Bool {
    let start = Instant.now()
    var nextReport = Self.reportInterval
    while !Self.hasEnded(processID) {
      let waited = Instant.now() - start
      guard waited < limit else { return false }
      if waited >= nextReport {
        progress(.waiting(nextReport))
        nextReport += Self.reportInterval
      }
      try? await Task.sleep(for: .milliseconds(20))
    }
    return true
  }

  /// A process that nobody collects, as in a container without an init, has ended too, once its last thread has: until then it keeps
  /// its files, and with them the lock and the device.
  static func hasEnded(_ process: Int32) -> Bool {
    if kill(process, 0) != 0, errno == ESRCH { return true }
    guard let file = fopen("/proc/\(process)/stat", "re") else { return false }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 512)
    let count = fread(&line, 1, line.count, file)
    return hasEnded(stat: String(decoding: line[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self))
  }

  /// - Parameter stat: `pid (name) state …`, where the name may hold anything, and the number of threads stands 17 places behind the
  ///   state (proc_pid_stat(5)).
  static func hasEnded(stat: String) -> Bool {
    guard let end = stat.lastIndex(of: ")") else { return false }
    let fields = stat[end...].dropFirst().split(separator: " ")
    guard fields.count > 17, fields[0] == "Z" || fields[0] == "X" else { return false }
    return Int(fields[17]).map { $0 <= 1 } ?? false
  }
}
