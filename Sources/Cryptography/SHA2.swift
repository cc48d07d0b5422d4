import Crypto

/// SHA-256 (FIPS 180-4).
public enum SHA2 {
  public static func sha256(_ bytes: some Collection<UInt8>) -> [UInt8] {
    Array(SHA256.hash(data: Array(bytes)))
  }

  /// HMAC (RFC 2104) over SHA-256: 32 bytes.
  public static func hmac256(key: [UInt8], _ message: [UInt8]) -> [UInt8] {
    Array(HMAC<SHA256>.authenticationCode(for: message, using: SymmetricKey(data: key)))
  }
}

/// SHA-256 over data that comes in pieces.
public struct SHA256Stream: Sendable {
  private var hash = SHA256()

  public init() {}

  public mutating func update(_ bytes: some Collection<UInt8>) {
    hash.update(data: Array(bytes))
  }

  public func finalize() -> [UInt8] { Array(hash.finalize()) }
}
