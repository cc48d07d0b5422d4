import Agent
import ArgumentParser
import Wire

struct RelayCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "relay", abstract: "Add, list and remove the relays of the network, or run one.",
    discussion: """
      Relays forward sealed packets between machines that cannot reach each other, and tell machines how they are seen from \
      outside. The machine that runs the network's node is one by itself.
      """,
    subcommands: [Add.self, List.self, Remove.self, Serve.self])

  struct Add: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Tell all machines of a relay that runs somewhere.",
      discussion: "On the machine that created the network. The relay has to admit the network's machines by itself.")

    @Argument(help: ArgumentHelp("Such as https://relay.example.com or https://192.0.2.1:8787.", valueName: "url"))
    var url: String
    @Option(help: "A label for people.") var region: String?
    @Option(
      help: ArgumentHelp(
        "SHA-256 of its certificate, in hexadecimal digits: that one and no other is trusted. Without it the certificate has to be valid for the host.",
        valueName: "sha256"))
    var pin: String?
    @Option(
      name: .customLong("stun-port"),
      help: ArgumentHelp(
        "UDP port at which it answers STUN, twice for a second one; 0: none. (default: 3478)", valueName: "port"))
    var stunPorts: [UInt16] = []
    @Flag(name: .customLong("stun-only"), help: "It answers STUN and forwards nothing.") var stunOnly = false
    @OptionGroup var state: StateOptions
    @OptionGroup var json: JSONOption

    private var request: RelayRequest {
      RelayRequest(url: url, region: region, pin: pin, stunPorts: stunPorts, stunOnly: stunOnly)
    }

    func validate() throws {
      do { try request.check() } catch { throw ValidationError(error.description) }
    }

    func run() async throws {
      let directory = try state.selection.open(creating: false)
      let result = try await Terminal.patiently { try await MeshCommands(directory).addRelay(request) }
      if json.isOn { return Terminal.print(json: result) }
      let relay = result["relay"]
      print(
        "Relay \(relay?["id"]?.integer ?? 0) added to network \"\(result["network"]?.string ?? "")\": \(relay?["url"]?.string ?? "")"
      )
      PublicationText.tell(result)
    }
  }

  struct List: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "List the relays that the network's records name.")

    @OptionGroup var state: StateOptions
    @OptionGroup var json: JSONOption

    func run() async throws {
      let directory = try state.selection.look()
      let relays = try await MeshCommands(directory).relays()["relays"]?.array ?? []
      if json.isOn { return Terminal.print(json: .array(relays)) }
      guard !relays.isEmpty else { return print("The network has no relays.") }
      let rows = relays.map { relay in
        let ports = ["stunPort", "stunPort2"].compactMap { relay[$0]?.integer }.filter { $0 != 0 }
        return [
          String(relay["id"]?.integer ?? 0), relay["region"]?.string ?? "", relay["url"]?.string ?? "",
          ports.isEmpty ? "-" : ports.map(String.init).joined(separator: ","),
          relay["stunOnly"]?.bool == true ? "no" : "yes", relay["certSHA256"] == nil ? "-" : "pinned",
          relay["node"]?.string ?? relay["nodeDID"]?.string ?? "-",
        ]
      }
      print(Terminal.table(["ID", "REGION", "URL", "STUN", "RELAYS", "CERTIFICATE", "RUN BY"], rows))
    }
  }

  struct Remove: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Take a relay out of the network's records.",
      discussion: """
        On the machine that created the network. A relay that a machine of the network runs comes back while it does: \
        'meshd up --no-relay' there ends it.
        """)

    @Argument(help: ArgumentHelp("The relay's number, as 'meshd relay list' shows it.", valueName: "id")) var id: UInt16
    @OptionGroup var state: StateOptions
    @OptionGroup var json: JSONOption

    func run() async throws {
      let directory = try state.selection.open(creating: false)
      let result = try await Terminal.patiently { try await MeshCommands(directory).removeRelay(id) }
      if json.isOn { return Terminal.print(json: result) }
      print("Relay \(id) removed from network \"\(result["network"]?.string ?? "")\".")
      for warning in result["warnings"]?.array ?? [] { Terminal.warning(warning.string ?? "") }
      PublicationText.tell(result)
    }
  }
}
