public import Identity
import Cryptography
import Glibc
public import Wire

extension StateDirectory {
  static let identityFile = "identity.json"

  /// `nil` if there is none yet.
  public func loadIdentity() throws(AgentError) -> MachineIdentity? {
    guard var text = try read(Self.identityFile) else { return nil }
    defer { wipe(&text) }
    do {
      return try IdentityFile.parse(text)
    } catch {
      throw .corruptFile(
        path: file(Self.identityFile), reason: error.description,
        advice:
          "restore it from a backup, or begin anew in another directory with --state-dir"
      )
    }
  }

  /// The identity of this directory, made on demand: once, also when two processes ask for the first time together.
  public func identity(orMaking random: some RandomSource) throws(AgentError) -> MachineIdentity {
    if let identity = try loadIdentity() { return identity }
    // Another identity would be no member of the network, and not the owner of what this one signed.
    for other in [NetworkState.file, SQLiteMeshStore.file] where access(file(other), F_OK) == 0 {
      // Somebody else may be making all of it at this moment.
      if let identity = try loadIdentity() { return identity }
      throw .missingIdentity(path: file(Self.identityFile), beside: other)
    }
    let identity = MachineIdentity.generate(random: random)
    var text = IdentityFile.text(identity)
    defer { wipe(&text) }
    if try create(Self.identityFile, text) { return identity }
    return try loadIdentity() ?? identity
  }
}

extension StateSelection {
  /// The state directory and its identity, both made on demand.
  public func openWithIdentity() throws(AgentError) -> (StateDirectory, MachineIdentity) {
    let directory = try open(creating: true)
    let identity = try directory.identity(orMaking: SystemRandom())
    try record(directory, did: identity.did, now: .now())
    return (directory, identity)
  }
}
