import Agent
public import ArgumentParser
public import DWN
public import Identity
import Logging
import Mesh
public import Wire

/// Flags that every command takes.
struct StateOptions: ParsableArguments {
  @Option(
    name: .customLong("state-dir"), help: "Folder with this machine's identity and network.", completion: .directory)
  var stateDirectory: String?

  @Option(help: "Name of the profile, when there are several.")
  var profile: String?

  var selection: StateSelection { StateSelection(stateDirectory: stateDirectory, profile: profile) }
}

struct JSONOption: ParsableArguments {
  @Flag(name: .customLong("json"), help: "Print JSON.")
  var isOn = false
}

struct TermsOption: ParsableArguments {
  @Flag(
    name: .customLong("accept-terms"),
    help: "Agree to the terms of service of the nodes that --endpoint or an invitation names, where they have some.")
  var isAccepted = false
}

/// What a join needs.
struct JoinOptions: ParsableArguments {
  @Option(
    name: .customLong("endpoint"),
    help: ArgumentHelp("URL of a node that holds the network's records; may be repeated.", valueName: "url"))
  var endpoints: [String] = []

  @Option(help: ArgumentHelp("DID of the machine that made the network.", valueName: "did"))
  var anchor: DID?

  @Option(help: ArgumentHelp("Id of the network.", valueName: "id"))
  var network: RecordID?
}

/// `meshd://invite/…`
struct InviteArgument: ExpressibleByArgument {
  let invite: Invite

  init?(argument: String) {
    guard let invite = Invite(argument) else { return nil }
    self.invite = invite
  }
}

extension UpRequest {
  /// Flags whose values cannot work whatever the state is are wrong usage.
  func checkUsage() throws {
    do { try check() } catch { throw ValidationError(error.description) }
  }
}

extension DID: ExpressibleByArgument {
  public init?(argument: String) { self.init(argument) }
}

extension RecordID: ExpressibleByArgument {
  public init?(argument: String) { self.init(argument) }
}

extension SocketAddress: ExpressibleByArgument {
  public init?(argument: String) { self.init(argument) }
}

extension IPPrefix: ExpressibleByArgument {
  public init?(argument: String) {
    if let address = IPAddress(argument) { self.init(host: address) } else { self.init(argument) }
  }
}

extension Logger {
  static func meshd(verbose: Bool, file: LogFile? = nil) -> Logger {
    LoggingSystem.bootstrap { TextLogHandler(label: $0, file: file) }
    var logger = Logger(label: "meshd")
    logger.logLevel = verbose ? .debug : .info
    return logger
  }
}
