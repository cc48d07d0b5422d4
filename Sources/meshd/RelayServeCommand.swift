import Agent
import ArgumentParser
import Logging
import Wire

extension RelayCommand {
  struct Serve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Run a relay by itself until interrupted.",
      discussion: """
        A machine that is in a network runs one with 'meshd up --relay'. This one is for machines that are in none, or for several \
        networks. It makes a certificate of its own, which 'meshd relay add --pin' names on the machine that created a network.
        """)

    @Option(
      help: ArgumentHelp(
        "Address to listen on; may be repeated (default 0.0.0.0:8788 and [::]:8788).", valueName: "addr:port"))
    var listen: [SocketAddress] = []
    @Option(
      name: .customLong("data"),
      help: ArgumentHelp(
        "Folder for its key and certificate (with --state-dir: that folder).", valueName: "dir"),
      completion: .directory)
    var dataDirectory: String?
    @Flag(help: "Carry packets for anybody.") var open = false
    @Option(
      help: ArgumentHelp(
        "File that names who may use it, a DID or nodekey:HEX a line; read again when it changes.", valueName: "file"),
      completion: .file())
    var members: String?
    @Option(
      name: .customLong("state-dir"),
      help: ArgumentHelp("Folder of a machine in a network, whose machines may use it.", valueName: "dir"),
      completion: .directory)
    var stateDirectory: String?
    @OptionGroup var json: JSONOption
    @Flag(name: .shortAndLong, help: "Log more.") var verbose = false

    func validate() throws {
      guard [open, members != nil, stateDirectory != nil].count(where: { $0 }) == 1 else {
        throw ValidationError("say who may use it: exactly one of --open, --members and --state-dir")
      }
      guard dataDirectory != nil || stateDirectory != nil else {
        throw ValidationError("name a folder for its key and certificate with --data")
      }
    }

    func run() async throws {
      let allowed: StandaloneRelay.Members =
        if let members {
          .file(members)
        } else if let stateDirectory {
          .daemon(try StateSelection(stateDirectory: stateDirectory, profile: nil).open(creating: false))
        } else {
          .everybody
        }
      let options = StandaloneRelay.Options(
        listen: listen, data: dataDirectory ?? stateDirectory ?? "", members: allowed)
      try await StandaloneRelay.run(options, logger: .meshd(verbose: verbose)) { relay in
        show(relay)
      }
    }

    private func show(_ relay: StandaloneRelay.Description) {
      if json.isOn {
        Terminal.print(
          json: [
            "listen": .array(relay.listeners.map { .string("\($0)") }), "certSHA256": .string(relay.pin),
            "stunPorts": .array(relay.stunPorts.map { .integer(Int64($0)) }),
          ])
        return
      }
      print("Relaying on \(relay.listeners.map(\.description).joined(separator: ", "))")
      let stun = (relay.stunPorts.isEmpty ? [0] : relay.stunPorts).map { " --stun-port \($0)" }.joined()
      print(
        "To use it in a network: meshd relay add https://HOST:\(relay.listeners.first?.port ?? 0) --pin \(relay.pin)\(stun)"
      )
    }
  }
}
