public import Identity
/// What went wrong in a daemon or a command, told so that a person knows the next step.
public enum AgentError: Error, CustomStringConvertible, Equatable {
  /// No identity was ever made under this home.
  case noProfiles
  /// `--profile` names none of those that there are.
  case unknownProfile(String, known: [String])
  /// Nothing says which of these is meant.
  case severalProfiles([String])
  /// The name has characters that a folder's name of ours may not have.
  case badProfileName(String)
  /// Nothing in the environment says where state belongs.
  case noHome
  /// A command that makes nothing was given a folder that is not there.
  case noStateDirectory(String)
  /// It is no folder, somebody else's, or one that holds other things.
  case unusableStateDirectory(path: String, reason: String)
  /// A file does not hold what it has to; `advice` says how to get on.
  case corruptFile(path: String, reason: String, advice: String)
  /// The system refuses: a full disk, a read-only one, a missing right.
  case cannotWrite(path: String, reason: String)
  /// The command needs the directory for itself, and a daemon has it.
  case daemonRunning(directory: String)
  /// `meshd dwn serve`, with the number of its process.
  case nodeRunning(directory: String, process: Int32)
  /// Somebody holds a directory who cannot be named.
  case busy(directory: String, log: String)
  /// Only a running daemon can answer this.
  case daemonNotRunning
  /// The daemon that was started in the background ended, for the reason that it gave.
  case daemonFailed(String, log: String)
  /// The daemon refused the command, in its own words.
  case daemonAnswers(String)
  /// This machine is in no network.
  case noNetwork
  /// A directory is in one network at a time.
  case anotherNetwork(name: String)
  /// Only the network's owner can do this; the text follows "can".
  case notTheAnchor(String)
  /// A flag or an argument cannot be meant so; the text says all.
  case badArgument(String)
  /// What there is was made with an identity that is gone.
  case missingIdentity(path: String, beside: String)
  /// What would leave a network without an owner.
  case wouldAbandon(network: String)
  /// What is for other machines of the network.
  case thisMachine(DID)
  /// Other nodes cannot take the place of this machine's own.
  case holdsRecordsItself
  /// Without a node of this machine's own there is nothing to replicate.
  case holdsNoRecordsItself
  /// Whatever else was tried in vain; the text says all.
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
    case .nodeRunning(let directory, let process):
      "a node is running on \(directory): end 'meshd dwn serve' first (PID \(process))"
    case .busy(let directory, let log):
      "a command is at work in \(directory), or a daemon that cannot be seen from here: try again in a moment; its log is \(log)"
    case .daemonNotRunning: "meshd is not running; start it with 'meshd up'"
    case .daemonFailed(let reason, let log): "\(reason) (log: \(log))"
    case .daemonAnswers(let message): message
    case .noNetwork:
      "no network yet; create one with 'meshd up --create NAME', or join one with 'meshd up --endpoint URL --anchor DID --network ID'"
    case .anotherNetwork(let name):
      "this state directory is already in the network \"\(name)\"; use another --state-dir, or run 'meshd network leave' first"
    case .notTheAnchor(let what): "only the machine that created the network can \(what); run it there"
    case .badArgument(let message): message
    case .missingIdentity(let path, let other):
      "\(path) is missing, and \(other) beside it was made with that identity: restore it from a backup, or begin anew in another "
        + "directory with --state-dir"
    case .wouldAbandon(let name):
      "this machine holds the network \"\(name)\", and no command leads back: nobody could add or remove a machine any more. To be in another "
        + "network too, use another --state-dir; to give this one up, say 'meshd network leave --abandon'"
    case .thisMachine(let did):
      "\(did) is this machine, which holds the network: name another one, as 'meshd init' printed it there"
    case .holdsRecordsItself:
      "the records of this network lie on this machine's own node: 'meshd up --replica URL' lets other nodes hold them too"
    case .holdsNoRecordsItself:
      "this machine has no node of its own that others could replicate. Where the network's records lie is for the machine to say that made "
        + "it: 'meshd up --replica URL' there, or 'meshd up --endpoint URL' if it has no node of its own either"
    case .failed(let message): message
    }
  }
}
