import Agent
import ArgumentParser
import Wire

struct StatusCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "status", abstract: "Show the identity, the network and the daemon.")

  @OptionGroup var state: StateOptions
  @OptionGroup var json: JSONOption

  func run() async throws {
    let directory = try state.selection.open(creating: false)
    let status = try await MeshCommands(directory).status()
    if json.isOn {
      Terminal.print(json: status)
    } else {
      print(StatusText.render(status, state: directory.path))
    }
  }
}
