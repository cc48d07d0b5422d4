import Agent
import ArgumentParser
import Wire

struct ACLCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "acl", abstract: "Show the policy that decides who may reach whom.", subcommands: [Show.self])

  struct Show: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Print the policy of the network.")

    @OptionGroup var state: StateOptions
    @OptionGroup var json: JSONOption

    func run() async throws {
      let directory = try state.selection.look()
      let result = try await MeshCommands(directory).policy()
      if json.isOn { return Terminal.print(json: result) }
      if let policy = result["policy"], policy != .null { print(policy.prettyText) }
      if let note = result["note"]?.string { print(note) }
      for rule in result["always"]?.array ?? [] { print("Accepted whatever the policy says: \(rule.string ?? "").") }
    }
  }
}
