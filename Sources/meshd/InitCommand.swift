import Agent
import ArgumentParser
import Identity
import Wire

struct InitCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "init", abstract: "Make this machine's identity, or print the one it has.")

  @OptionGroup var state: StateOptions
  @OptionGroup var json: JSONOption

  func run() async throws {
    let (directory, identity) = try state.selection.openWithIdentity()
    if json.isOn {
      Terminal.print(json: ["did": .string(identity.did.text), "stateDir": .string(directory.path)])
    } else {
      print("Your device identity: \(identity.did)")
      print("State: \(directory.path)")
    }
  }
}
