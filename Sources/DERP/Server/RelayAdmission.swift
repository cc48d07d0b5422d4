public import Cryptography

/// Who may use a relay.
public protocol RelayAdmission: Sendable {
  /// Whether the holder of the key may. It is asked once for each connection, and may take a moment to find out; what fails is a no.
  func admits(_ key: X25519PublicKey) async -> Bool
}

/// Everybody who comes.
public struct OpenAdmission: RelayAdmission {
  public init() {}
  public func admits(_ key: X25519PublicKey) async -> Bool { true }
}
