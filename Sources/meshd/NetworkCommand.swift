import Agent
import ArgumentParser
import Identity
import Mesh
import Wire

struct NetworkCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "network", abstract: "Create, join or leave a network without starting the daemon.",
    subcommands: [Create.self, Join.self, Leave.self])

  struct Create: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Make a network.",
      discussion: """
        With --endpoint it is published there at once. Without, it will live on the node that 'meshd up' runs on this \
        machine, and is published at the first 'meshd up'.
        """)

    @Argument(help: "What the network is to be called.") var name: String
    @Option(
      name: .customLong("endpoint"),
      help: ArgumentHelp("URL of the node that is to hold the records; may be repeated.", valueName: "url"))
    var endpoints: [String] = []
    @Option(help: ArgumentHelp("Private IPv4 block of the network.", valueName: "cidr")) var cidr: String?
    @Flag(name: .customLong("v1"), help: "Give the network encryption v1; see 'meshd up --help'.") var usesV1 = false
    @OptionGroup var terms: TermsOption
    @OptionGroup var state: StateOptions
    @OptionGroup var json: JSONOption

    private var request: UpRequest {
      UpRequest(
        create: name, cidr: cidr, envelope: usesV1 ? .v1 : .jwe, endpoints: endpoints, acceptsTerms: terms.isAccepted)
    }

    func validate() throws { try request.checkUsage() }

    func run() async throws {
      let (directory, identity) = try state.selection.openWithIdentity()
      let result = try await Terminal.patiently {
        try await MeshCommands(directory).createNetwork(request, identity: identity)
      }
      if json.isOn { return Terminal.print(json: result) }
      for line in (result["steps"]?.array ?? []).compactMap(\.string) { print("  \(line)") }
      print("Network created.")
      print("  Name: \(result["network"]?.string ?? "")")
      print("  CIDR: \(result["meshCIDR"]?.string ?? "")")
      print("  Mesh IP: \(result["meshIP"]?.string ?? "")")
      print("  Record: \(result["networkId"]?.string ?? "")")
      print("  Anchor: \(result["endpoint"]?.string ?? "this machine's own node, from the first 'meshd up' on")")
      print("")
      print("To add a peer: meshd peer add <their-did>")
    }
  }

  struct Join: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Join a network that another machine made.")

    @Argument(help: ArgumentHelp("An invitation to join by.", valueName: "invite")) var invite: InviteArgument?
    @OptionGroup var join: JoinOptions
    @OptionGroup var terms: TermsOption
    @OptionGroup var state: StateOptions
    @OptionGroup var json: JSONOption

    func validate() throws {
      if invite == nil {
        guard join.anchor != nil, join.network != nil, !join.endpoints.isEmpty else {
          throw ValidationError("joining takes an invitation, or --endpoint, --anchor and --network")
        }
      } else if join.anchor != nil || join.network != nil {
        throw ValidationError("an invitation names the network itself: leave --anchor and --network out")
      }
      try request.checkUsage()
    }

    private var request: UpRequest {
      UpRequest(
        invite: invite?.invite, endpoints: join.endpoints, anchor: join.anchor, networkID: join.network,
        acceptsTerms: terms.isAccepted)
    }

    func run() async throws {
      let (directory, identity) = try state.selection.openWithIdentity()
      let result = try await Terminal.patiently {
        try await MeshCommands(directory).joinNetwork(request, identity: identity)
      }
      if json.isOn { return Terminal.print(json: result) }
      if result["admitted"]?.bool == true {
        print("  Found node record (owner-provisioned).")
      } else if result["asked"]?.bool == true {
        print("  Asked to be admitted.")
      } else {
        print("  No node record found — the anchor needs to run:")
        print("    meshd peer add \(identity.did)")
      }
      print("Joined network.")
      print("  Name: \(result["network"]?.string ?? "")")
      print("  CIDR: \(result["meshCIDR"]?.string ?? "")")
      print("  Mesh IP: \(result["meshIP"]?.string ?? "")")
      print("  Anchor: \((join.anchor ?? invite?.invite.anchor)?.text ?? "")")
      print("")
      print("Run 'meshd up' to connect.")
    }
  }

  struct Leave: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Forget the network on this machine. The other machines are not told.")

    @Flag(help: "Also if this machine holds the network, which nobody can change any more then.") var abandon = false
    @OptionGroup var state: StateOptions

    func run() async throws {
      let directory = try state.selection.open(creating: false)
      if let name = try await MeshCommands(directory).leaveNetwork(abandons: abandon) {
        print("Left network \"\(name)\".")
      } else {
        print("Not in a network.")
      }
    }
  }
}
