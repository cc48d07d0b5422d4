public import Cryptography

/// Who may use a relay.
public protocol RelayAdmission: Sendable {
  /// Whether the holder of the key may. It is asked once for each connection, and may take a moment to find out; what fails is a no.
  ///
  /// - Parameter namesRelay: whether the client named this relay's certificate. Clients of meshd do. One that does not may be somebody
  ///   else: a relay that passes on what the holder of the key said there.
  func admits(_ key: X25519PublicKey, namesRelay: Bool) async -> Bool
  /// Whether the holder of a key that was admitted still may. It is asked at once when the connection has its place in the table, so that
  /// nobody slips in between the answer above and the moment from which `closeUnless` finds the connection.
  func stillAdmits(_ key: X25519PublicKey, namesRelay: Bool) -> Bool
}

/// Everybody who comes.
public struct OpenAdmission: RelayAdmission {
  public init() {}
  public func admits(_ key: X25519PublicKey, namesRelay: Bool) async -> Bool { true }
  public func stillAdmits(_ key: X25519PublicKey, namesRelay: Bool) -> Bool { true }
}
