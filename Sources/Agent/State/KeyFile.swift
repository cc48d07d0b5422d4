public import Cryptography
public import Wire

/// Keys that belong to this machine and to nothing else, each in a file of its own that holds its 32 bytes.
extension StateDirectory {
  /// For path discovery: random, and the same after a restart, so that a machine stays reachable while its records cannot be
  /// written (`reach.md` 4).
  static let discoKeyFile = "disco.key"

  /// The key of this file, made on demand: once, also when two processes ask for the first time together.
  public func key(_ name: String, orMaking random: some RandomSource) throws(AgentError) -> X25519PrivateKey {
    if let key = try loadKey(name) { return key }
    let key = X25519PrivateKey(random: random)
    var bytes = key.bytes.copy()
    defer { wipe(&bytes) }
    if try create(name, bytes) { return key }
    return try loadKey(name) ?? key
  }

  /// Puts another key in place of the one in this file.
  func replaceKey(_ name: String, random: some RandomSource) throws(AgentError) -> X25519PrivateKey {
    let key = X25519PrivateKey(random: random)
    var bytes = key.bytes.copy()
    defer { wipe(&bytes) }
    try write(name, bytes)
    return key
  }

  private func loadKey(_ name: String) throws(AgentError) -> X25519PrivateKey? {
    guard var bytes = try read(name, limit: 4096) else { return nil }
    defer { wipe(&bytes) }
    guard let key = X25519PrivateKey(SecretBytes(bytes)) else {
      throw .corruptFile(
        path: file(name), reason: "a key has 32 bytes, and this file has \(bytes.count)",
        advice: "remove it: another one is made at the next start")
    }
    return key
  }
}
