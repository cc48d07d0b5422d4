import Agent
import ArgumentParser
import Wire

struct DownCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "down", abstract: "Stop the daemon, and wait until it has ended.")

  @OptionGroup var state: StateOptions

  func run() async throws {
    let directory = try state.selection.open(creating: false)
    guard let stop = try RunningDaemon(directory) else {
      print("meshd is not running.")
      return
    }
    print("Stopping meshd (PID \(stop.processID))...")
    try await stop.end(within: .seconds(20))
    print("Stopped.")
  }
}
