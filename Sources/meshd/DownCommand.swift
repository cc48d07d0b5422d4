import Agent
import ArgumentParser
import Wire

struct DownCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "down", abstract: "Stop the daemon, and wait until it has ended.",
    discussion:
      "A daemon that does not answer, or does not end within 20 s, is killed: nothing that it acknowledged is lost.")

  @OptionGroup var state: StateOptions

  func run() async throws {
    let directory = try state.selection.open(creating: false)
    guard let stop = try RunningDaemon(directory) else {
      print("meshd is not running.")
      return
    }
    print("Stopping meshd (PID \(stop.processID))...")
    try await stop.end { progress in
      switch progress {
      case .signalled: print("It does not answer. Waiting a moment before it is killed...")
      case .waiting(let time): print("Still waiting for it to end (\(Int(time.seconds)) s)...")
      case .killed: print("It did not end, and was killed.")
      }
    }
    print("Stopped.")
  }
}
