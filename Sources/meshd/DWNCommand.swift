import Agent
import ArgumentParser
import Identity
import Logging
import Wire

struct DWNCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "dwn", abstract: "Run a Decentralized Web Node by itself.", subcommands: [Serve.self])

  struct Serve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Serve the records of the given tenants until interrupted.")

    @Option(
      help: ArgumentHelp(
        "Address to listen on; may be repeated (default 0.0.0.0:8787 and [::]:8787).", valueName: "addr:port"))
    var listen: [SocketAddress] = []
    @Option(
      name: .customLong("data"), help: ArgumentHelp("Folder for the records.", valueName: "dir"), completion: .directory
    )
    var dataDirectory: String
    @Option(
      name: .customLong("tenant"), parsing: .upToNextOption,
      help: ArgumentHelp("DIDs whose records are kept.", valueName: "did"))
    var tenants: [DID]
    @Flag(name: .shortAndLong, help: "Log more.") var verbose = false

    func validate() throws {
      guard !tenants.isEmpty else { throw ValidationError("name at least one --tenant") }
    }

    func run() async throws {
      let addresses = listen.isEmpty ? DaemonSettings.defaultListen : listen
      try await StandaloneNode.run(
        listen: addresses, data: dataDirectory, tenants: tenants, logger: .meshd(verbose: verbose)
      ) { bound in
        print(
          "Serving \(tenants.count) tenant\(tenants.count == 1 ? "" : "s") on \(bound.map(\.description).joined(separator: ", "))"
        )
      }
    }
  }
}
