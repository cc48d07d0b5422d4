/// What went wrong in a daemon or a command, told so that a person knows the next step.
public enum AgentError: Error, CustomStringConvertible, Equatable {
  case noProfiles
  case unknownProfile(String, known: [String])
  case severalProfiles([String])
  case badProfileName(String)
  case noHome
  case noStateDirectory(String)
  case unusableStateDirectory(path: String, reason: String)
  case corruptFile(path: String, reason: String, advice: String)
  case cannotWrite(path: String, reason: String)
  case daemonRunning(directory: String)
  case daemonNotRunning
  case daemonFailed(String, log: String)
  case daemonAnswers(String)
  case noNetwork
  case anotherNetwork(name: String)
  case notTheAnchor(String)
  case badArgument(String)
  case failed(String)

  public var description: String {
    switch self {
    case .noProfiles: "no identity yet; run 'meshd init'"
    case .unknownProfile(let name, let known):
      known.isEmpty
        ? "profile \"\(name)\" not found; run 'meshd init --profile \(name)' to make it"
        : "profile \"\(name)\" not found; there are: \(known.joined(separator: ", "))"
    case .severalProfiles(let names):
      "multiple profiles (\(names.joined(separator: ", "))) and no default; choose one with --profile"
    case .badProfileName(let name):
      "\"\(name)\" is not a profile name: letters, digits, '-' and '_' are allowed"
    case .noHome: "no home directory: set HOME, ENBOX_HOME or MESHD_STATE_DIR, or pass --state-dir"
    case .noStateDirectory(let path):
      "there is no folder \(path): 'meshd init' or 'meshd up' makes it, unless the path is mistyped"
    case .unusableStateDirectory(let path, let reason): "cannot use the state directory \(path): \(reason)"
    case .corruptFile(let path, let reason, let advice): "\(path) cannot be used: \(reason); \(advice)"
    case .cannotWrite(let path, let reason): "cannot write \(path): \(reason)"
    case .daemonRunning(let directory):
      "a daemon is running for \(directory); stop it first with 'meshd down'"
    case .daemonNotRunning: "meshd is not running; start it with 'meshd up'"
    case .daemonFailed(let reason, let log): "\(reason) (log: \(log))"
    case .daemonAnswers(let message): message
    case .noNetwork:
      "no network yet; create one with 'meshd up --create NAME', or join one with 'meshd up --endpoint URL --anchor DID --network ID'"
    case .anotherNetwork(let name):
      "this state directory is already in the network \"\(name)\"; run 'meshd network leave' first, or use another --state-dir"
    case .notTheAnchor(let what): "only the machine that created the network can \(what); run it there"
    case .badArgument(let message): message
    case .failed(let message): message
    }
  }
}
