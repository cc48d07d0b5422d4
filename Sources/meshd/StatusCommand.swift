import Agent
import ArgumentParser
import Wire

struct StatusCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "status", abstract: "Show the identity, the network and the daemon.")

  @OptionGroup var state: StateOptions
  @OptionGroup var json: JSONOption

  func run() async throws {
    let (status, path) = try await status()
    if json.isOn {
      Terminal.print(json: status)
    } else {
      print(StatusText.render(status, state: path))
    }
  }

  /// A folder that is not there is a state as any other: a daemon may be about to make it.
  private func status() async throws -> (JSONValue, path: String) {
    let directory: StateDirectory
    do { directory = try state.selection.look() } catch .noStateDirectory(let path) {
      return (MeshCommands.status(without: path), path)
    }
    return (try await MeshCommands(directory).status(), directory.path)
  }
}
