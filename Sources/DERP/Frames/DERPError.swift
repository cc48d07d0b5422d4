import Cryptography

/// Why a connection to or of a relay ended.
public enum DERPError: Error, Hashable, Sendable {
  /// The frame has not the length that its type has.
  case malformed(frame: UInt8)
  case tooLong(frame: UInt8, count: Int)
  /// Something that may not come at this place.
  case unexpected(frame: UInt8)
  /// To a relay: what a client sent before its connection became a relay's, in words that follow "it sent".
  case badRequest(String)
  /// To a client: the answer to its request to become a relay connection.
  case notUpgraded(status: String)
  /// The server's key is of small order, or not what it said before.
  case badServerKey
  /// What the other side says of itself does not open, or cannot be read.
  case badInfo
  /// What a client says of itself names the certificate of another relay: somebody passes on what was meant for that one.
  case meantForAnotherRelay
  case unsupportedVersion(Int64)
  /// Nothing came for too long.
  case silent
  /// Nothing of what was sent was taken for too long.
  case takesNothing
  /// The certificate is not the one that the network's records name.
  case wrongCertificate(found: String)
  case notConnected(String)
  case closed
}

extension DERPError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .malformed(let frame): "the relay's frame of type \(frame) is malformed"
    case .tooLong(let frame, let count): "a relay frame of type \(frame) has \(count) bytes, more than any may have"
    case .unexpected(let frame): "a relay frame of type \(frame) has no place here"
    case .badRequest(let what): "it sent \(what)"
    case .notUpgraded(let status): "it does not speak DERP: it answered \"\(status)\""
    case .badServerKey: "the relay's key is unusable, or changed within the connection"
    case .badInfo: "what the other side says of itself cannot be opened"
    case .meantForAnotherRelay: "the client's login was meant for a relay with another certificate"
    case .unsupportedVersion(let version): "it speaks version \(version) of DERP, and not \(DERPFrame.protocolVersion)"
    case .silent: "nothing came from it for too long"
    case .takesNothing: "it took nothing for too long"
    case .wrongCertificate(let found):
      "its certificate has the SHA-256 \(found), which is not the one in the network's records"
    case .notConnected(let reason): "no connection: \(reason)"
    case .closed: "it closed the connection"
    }
  }
}
