import Agent
import ArgumentParser
import DWN
import Foundation
import Identity
import Logging
import Mesh
import Wire

struct UpCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "up", abstract: "Bring this machine into its network.",
    discussion: """
      Without flags: into the network it is already in. With --create: makes a network, on a node that this daemon \
      runs itself, or on the one that --endpoint names. With --endpoint, --anchor and --network: joins; 'meshd peer \
      add' prints these on the first machine. With an invitation (meshd://invite/…): asks to be admitted, and joins.

      With --endpoint alone, in a network: names its nodes anew. On the machine that made the network its records lie on these from then \
      on; any other machine looks for them there.

      With --v1 a new network has encryption v1, for nodes that take no other and for machines that run other programs. It has no \
      heads: a node that is asked for its records could show a removed machine again to one that has not seen its removal. \
      Joining needs no flag.

      All flags below that say how this machine takes part (node, DIDs, port, device, MTU, offloads, relay, STUN, port probing) are \
      kept for the next plain 'meshd up'.
      """)

  @Argument(help: ArgumentHelp("An invitation to join by.", valueName: "invite")) var invite: InviteArgument?

  @OptionGroup var state: StateOptions
  @OptionGroup var join: JoinOptions
  @OptionGroup var terms: TermsOption
  @OptionGroup var json: JSONOption

  @Option(help: ArgumentHelp("Make a network of this name first.", valueName: "name"))
  var create: String?

  @Option(help: ArgumentHelp("Private IPv4 block of a new network.", valueName: "cidr"))
  var cidr: String?

  @Flag(name: .customLong("v1"), help: "Give the new network encryption v1.")
  var usesV1 = false

  @Option(
    help: ArgumentHelp(
      "Where the embedded node listens; may be repeated (default 0.0.0.0:8787 and [::]:8787).", valueName: "addr:port"))
  var listen: [SocketAddress] = []

  @Option(
    help: ArgumentHelp(
      "URL under which others reach the embedded node, named before what is found out; may be repeated. 'none': no more.",
      valueName: "url"))
  var advertise: [String] = []

  @Option(
    help: ArgumentHelp(
      "Another node that is to hold the records of the network that this machine makes or made; may be repeated. 'none': no more.",
      valueName: "url"))
  var replica: [String] = []

  @Option(help: "UDP port (default 41641, else a free one).")
  var port: UInt16?

  @Option(
    help: ArgumentHelp("Name of the network device (default: the first free of mesh0, mesh1, …).", valueName: "name"))
  var interface: String?

  @Option(help: "MTU of the network device, 1280 to 9000.")
  var mtu: Int?

  @Option(
    name: .customLong("no-offload"),
    help: ArgumentHelp(
      "Do without something the kernel does for the packet path: tso, uso, gso, gro or all; none: use what there is. May be repeated.",
      valueName: "offload"))
  var noOffload: [String] = []

  @Option(
    help: ArgumentHelp(
      "A STUN server to ask beside the network's relays; none: no other. May be repeated.", valueName: "host:port"))
  var stun: [String] = []

  @Flag(
    name: .customLong("port-probing"), inversion: .prefixedNo, exclusivity: .exclusive,
    help: "Guess the port of a machine behind a hard NAT where nothing else gets through (default: yes).")
  var probesPorts: Bool?

  @OptionGroup var dids: DIDOptions

  @OptionGroup var relay: RelayOptions

  @Option(
    help: ArgumentHelp(
      "How long to wait until the network is there; the daemon goes on after that.", valueName: "duration"))
  var timeout: Seconds = Seconds(60)

  @Flag(help: "Stay in the foreground and log to the terminal, for service managers.")
  var foreground = false

  @Flag(name: .shortAndLong, help: "Log more.")
  var verbose = false

  @Flag(name: .customLong("report-startup"), help: .private)
  var reportsStartup = false

  func validate() throws {
    if create != nil, join.anchor != nil || join.network != nil {
      throw ValidationError("--create makes a network, --anchor and --network join one: use either")
    }
    if join.anchor != nil || join.network != nil {
      guard join.anchor != nil, join.network != nil, !join.endpoints.isEmpty else {
        throw ValidationError("joining takes --endpoint, --anchor and --network together")
      }
    }
    if !replica.isEmpty, !join.endpoints.isEmpty || invite != nil {
      throw ValidationError("--replica goes with a node of this machine's own, not with --endpoint or an invitation")
    }
    if usesV1, create == nil { throw ValidationError("--v1 goes with --create; joining finds out by itself") }
    if invite != nil, create != nil || join.anchor != nil || join.network != nil {
      throw ValidationError("an invitation names the network itself: leave --create, --anchor and --network out")
    }
    if cidr != nil, create == nil { throw ValidationError("--cidr goes with --create") }
    if let mtu, !(1280...9000).contains(mtu) { throw ValidationError("--mtu must be between 1280 and 9000") }
    if port == 0 { throw ValidationError("--port must be between 1 and 65535") }
    try request.checkUsage()
  }

  private var request: UpRequest {
    UpRequest(
      create: create, cidr: cidr, envelope: usesV1 ? .v1 : .jwe, invite: invite?.invite, endpoints: join.endpoints,
      anchor: join.anchor, networkID: join.network, acceptsTerms: terms.isAccepted,
      listen: listen, advertise: advertise, replicas: replica, port: port, interface: interface, mtu: mtu,
      noOffload: noOffload, stun: stun, probesPorts: probesPorts, didGateway: dids.gateway,
      allowsPrivateDIDHosts: dids.allowsPrivateHosts,
      relay: relay.settings)
  }

  func run() async throws {
    if create == nil, invite == nil, join.network == nil, !join.endpoints.isEmpty {
      guard try (try? state.selection.open(creating: false))?.loadNetwork() != nil else {
        throw ValidationError("--endpoint goes with --create, or with --anchor and --network: there is no network yet")
      }
    }
    let (directory, identity) = try state.selection.openWithIdentity()
    var request = request
    if request.invite != nil, !request.names(try directory.loadNetwork()) {
      let result = try await Terminal.patiently {
        try await MeshCommands(directory).joinNetwork(request, identity: identity)
      }
      if result["asked"]?.bool == true {
        Terminal.progress("Asked to be admitted to \"\(result["network"]?.string ?? "")\".", json: json.isOn)
      }
    }
    if request.invite != nil {
      request.invite = nil
      request.endpoints = []
    }
    if foreground {
      // What was mounted where it was started may be unmounted.
      if reportsStartup { _ = chdir("/") }
      let logger = Logger.meshd(
        verbose: verbose, file: reportsStartup ? LogFile(continuing: directory.logPath) : nil)
      let report = StartupReport(descriptor: reportsStartup ? BackgroundDaemon.reportDescriptor : nil)
      if !reportsStartup { Terminal.progress("Your device identity: \(identity.did)", json: json.isOn) }
      try await Daemon.run(directory: directory, identity: identity, request: request, report: report, logger: logger) {
        event in
        if !reportsStartup { show(event) }
      }
      return
    }
    try runInBackground(directory, identity, request)
  }

  private func runInBackground(
    _ directory: StateDirectory, _ identity: MachineIdentity, _ request: UpRequest
  ) throws {
    if !json.isOn { Terminal.progress("Your device identity: \(identity.did)", json: false) }
    if let running = try ControlSocketClient(directory).send(.status)?.body, running["running"]?.bool == true {
      try request.checkAgainst(running: running)
      if json.isOn {
        Terminal.print(json: UpResult.json(fromStatus: running))
      } else {
        print("meshd is already running.")
        describe(UpResult.json(fromStatus: running), directory)
      }
      return
    }
    if !directory.isMakingNetwork { try request.checkAgainst(try directory.loadNetwork()) }
    var arguments = ["up", "--foreground", "--report-startup", "--state-dir", directory.path]
    arguments += request.arguments
    if verbose { arguments.append("--verbose") }
    var daemon = try BackgroundDaemon(arguments: arguments, log: directory.logPath)
    let deadline = Instant.now() + timeout.duration
    var waitingFor = "the daemon to start"
    var shown = Set<String>()
    while true {
      switch daemon.next(until: deadline) {
      case .progress(let text):
        waitingFor = text
        if shown.insert(text).inserted { Terminal.progress("  Waiting for \(text)…", json: json.isOn) }
      case .ready(let result):
        if json.isOn {
          Terminal.print(json: UpResult.publicJSON(result))
        } else {
          describe(result, directory)
        }
        return
      case .failed(let text): throw AgentError.daemonFailed(text, log: directory.logPath)
      case nil:
        throw AgentError.failed(
          "not up after \(timeout.text): still waiting for \(waitingFor); the daemon goes on, 'meshd status' shows how it fares"
        )
      }
    }
  }

  private func show(_ event: StartupEvent) {
    switch event {
    case .waiting(let text): Terminal.progress("  Waiting for \(text)…", json: json.isOn)
    case .ready(let result):
      if json.isOn {
        Terminal.print(json: UpResult.publicJSON(result))
      } else {
        describe(result, nil)
        print("Press Ctrl-C to stop.")
      }
    case .stopping: Terminal.progress("\nShutting down...", json: json.isOn)
    case .stopped: Terminal.progress("Stopped.", json: json.isOn)
    }
  }

  private func describe(_ result: JSONValue, _ directory: StateDirectory?) {
    for warning in result["warnings"]?.array ?? [] { Terminal.warning(warning.string ?? "") }
    let name = result["network"]?.string ?? ""
    let ip = result["meshIP"]?.string ?? "?"
    if result["created"]?.bool == true {
      print("Network \"\(name)\" created. Mesh IP: \(ip)")
      print("To add a peer: meshd peer add <their-did>")
    } else {
      print("Network \"\(name)\" is up. Mesh IP: \(ip)")
    }
    let rows = [
      ("Mesh IPv6", result["meshIPv6"]?.string), ("Network", result["networkId"]?.string),
      ("Interface", result["interface"]?.string), ("UDP port", result["port"]?.integer.map(String.init)),
      ("Node", result["endpoint"]?.string), ("Log", directory?.logPath),
    ]
    for (title, value) in rows { if let value { print("  \(title): \(value)") } }
  }
}

/// A duration on the command line: `90`, `90s`, `2m`, `500ms`.
struct Seconds: ExpressibleByArgument {
  let duration: Duration
  let text: String

  var defaultValueDescription: String { text }

  init(_ seconds: Int64) {
    duration = .seconds(seconds)
    text = "\(seconds) s"
  }

  init?(argument: String) {
    let digits = argument.prefix { $0.isNumber || $0 == "." }
    guard let value = Double(digits), value >= 0, value < 1e6 else { return nil }
    switch argument.dropFirst(digits.count) {
    case "", "s": duration = .milliseconds(Int64(value * 1000))
    case "ms": duration = .microseconds(Int64(value * 1000))
    case "m": duration = .milliseconds(Int64(value * 60_000))
    case "h": duration = .milliseconds(Int64(value * 3_600_000))
    default: return nil
    }
    text = argument.allSatisfy { $0.isNumber } ? argument + " s" : argument
  }
}
