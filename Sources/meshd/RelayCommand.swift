import ArgumentParser

struct RelayCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "relay", abstract: "Relays, which carry packets between machines that cannot reach each other.",
    subcommands: [Serve.self])
}
