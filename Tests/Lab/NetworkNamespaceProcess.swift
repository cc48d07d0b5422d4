import Foundation
import Glibc
import Subprocess
import Synchronization

/// A process of the lab that goes on beside the test. Its output goes to a file.
final class LabProcess: Sendable {
  let pid: pid_t
  private let log: URL
  private let ending: Task<Int32, any Error>
  private let ended: EndedFlag

  private init(pid: pid_t, log: URL, ending: Task<Int32, any Error>, ended: EndedFlag) {
    self.pid = pid
    self.log = log
    self.ending = ending
    self.ended = ended
  }

  /// Whether it still runs.
  var isRunning: Bool { !ended.value.load(ordering: .acquiring) }

  /// Everything it printed so far, on both streams.
  var output: String {
    (try? Data(contentsOf: log)).map { String(decoding: $0, as: UTF8.self) } ?? ""
  }

  /// Sends a signal.
  func signal(_ number: Int32) {
    if isRunning { kill(pid, number) }
  }

  /// Asks it to end, waits up to three seconds, then kills it. Returns when it is gone.
  func stop() async {
    signal(SIGTERM)
    for _ in 0..<60 where isRunning { try? await Task.sleep(for: .milliseconds(50)) }
    signal(SIGKILL)
    _ = try? await ending.value
  }

  /// Waits for its end: the exit status, or 128 and the number of the signal that ended it.
  func wait() async throws -> Int32 {
    try await ending.value
  }

  static func start(_ command: [String], log: URL) async throws -> LabProcess {
    let (pids, announce) = AsyncStream.makeStream(of: pid_t.self)
    let ended = EndedFlag()
    let ending = Task {
      defer {
        ended.value.store(true, ordering: .releasing)
        announce.finish()
      }
      // The shell opens the log and becomes the command, so that the process id is the command's.
      let result = try await Subprocess.run(
        .name("sh"), arguments: Arguments(["-c", "exec \"$@\" >\"$0\" 2>&1 </dev/null", log.path] + command),
        input: .none, output: .discarded, error: .discarded
      ) { execution in
        announce.yield(execution.processIdentifier.value)
      }
      return exitStatus(result.terminationStatus)
    }
    guard let pid = await pids.first(where: { _ in true }) else {
      _ = try await ending.value
      throw CancellationError()
    }
    return LabProcess(pid: pid, log: log, ending: ending, ended: ended)
  }
}

/// Set once the process has been reaped: its id may belong to another from then on.
private final class EndedFlag: Sendable {
  let value = Atomic<Bool>(false)
}

/// Asks again and again, at most `limit`, until the answer is yes. For what another process does in its own time.
func eventually(
  _ limit: Duration, every pause: Duration = .milliseconds(50), _ question: () async throws -> Bool
) async throws -> Bool {
  let deadline = ContinuousClock.now + limit
  while true {
    if try await question() { return true }
    if ContinuousClock.now >= deadline { return false }
    try await Task.sleep(for: pause)
  }
}
