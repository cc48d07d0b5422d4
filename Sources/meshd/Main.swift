import Agent
import ArgumentParser
import Foundation
import Wire

/// The program: reads a command line, runs it, and ends with 0, 1 (failed) or 2 (wrong usage).
@main
struct Main {
  static func main() async {
    ProcessName.set()
    let arguments = Array(CommandLine.arguments.dropFirst())
    guard !arguments.isEmpty else {
      print(Meshd.helpMessage())
      exit(2)
    }
    do {
      var command = try Meshd.parseAsRoot(arguments)
      if var asynchronous = command as? any AsyncParsableCommand {
        try await asynchronous.run()
      } else {
        try command.run()
      }
      if let failure = Terminal.writeFailure {
        Terminal.error(failure)
        exit(1)
      }
    } catch {
      finish(error, arguments)
    }
  }

  private static func finish(_ error: any Error, _ arguments: [String]) -> Never {
    let code = Meshd.exitCode(for: error)
    if code == .success {
      // Help and version are thrown, too.
      print(Meshd.fullMessage(for: error))
      exit(0)
    }
    if code == .validationFailure {
      var text = Meshd.message(for: error).split(separator: "\n").first.map(String.init) ?? "wrong usage"
      let words = arguments.prefix { !$0.hasPrefix("-") }
      let known = [words.prefix(2), words.prefix(1)].map { $0.joined(separator: " ") }.first(where: Meshd.isCommand)
      let command = known.map { "meshd \($0)" } ?? "meshd"
      if known == nil, let first = words.first { text = "unknown command \"\(first)\"" }
      Terminal.error("\(text); see '\(command) --help'")
      exit(2)
    }
    if let code = error as? ExitCode { exit(code.rawValue) }
    Terminal.error((error as? AgentError)?.description ?? "\(error)")
    exit(1)
  }
}

struct Meshd: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "meshd",
    abstract: "A private WireGuard network between your machines, with nobody in the middle.",
    discussion: """
      First machine:   meshd up --create my-network
      Second machine:  meshd init
      First machine:   meshd peer add <the DID that init printed>
      Second machine:  the line that 'peer add' printed

      Exit codes: 0 ok, 1 failed, 2 wrong usage.
      """,
    version: "meshd \(Version.text)",
    subcommands: [
      InitCommand.self, UpCommand.self, DownCommand.self, StatusCommand.self, DoctorCommand.self, PeerCommand.self,
      NetworkCommand.self,
      ACLCommand.self, NetcheckCommand.self, PingCommand.self, RelayCommand.self, DWNCommand.self, VersionCommand.self,
    ])

  /// Whether these first words of a command line name a command.
  static func isCommand(_ words: String) -> Bool {
    let parts = words.split(separator: " ").map(String.init)
    guard let first = parts.first,
      let command = configuration.subcommands.first(where: { $0._commandName == first })
    else { return false }
    return parts.count < 2 || command.configuration.subcommands.contains { $0._commandName == parts[1] }
  }
}

struct VersionCommand: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "version", abstract: "Print the version.")

  func run() { print("meshd \(Version.text)") }
}
