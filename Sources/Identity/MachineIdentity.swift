public import Cryptography
public import Wire

/// One Ed25519 seed and everything that follows from it: the DID, the signing key, the WireGuard key, and the root of all record
/// keys. There is one key to keep.
public struct MachineIdentity: Sendable {
  public let did: DID
  public let signingKey: Ed25519PrivateKey
  /// The X25519 form of the signing key: WireGuard's static key, and the root from which record keys are derived.
  public let wireGuardKey: X25519PrivateKey

  public init(signingKey: Ed25519PrivateKey) {
    self.signingKey = signingKey
    self.did = JWKMethod.did(for: signingKey.publicKey)
    self.wireGuardKey = signingKey.x25519
  }

  /// `nil` unless the seed has 32 bytes.
  public init?(seed: SecretBytes) {
    guard let key = Ed25519PrivateKey(seed: seed) else { return nil }
    self.init(signingKey: key)
  }

  public static func generate(random: some RandomSource) -> MachineIdentity {
    MachineIdentity(signingKey: Ed25519PrivateKey(random: random))
  }

  /// The JWS `kid`.
  public var signingKeyID: String { did.text + "#0" }

  /// Names the root in records and definitions.
  public var encryptionKeyID: String { did.text + "#1" }
}

extension MachineIdentity: CustomReflectable {
  public var customMirror: Mirror { Mirror(self, children: ["did": did.text]) }
}

extension DID {
  /// The WireGuard key of the machine that has this DID, computed from the DID alone. `nil` if it gives none, or one of small
  /// order.
  public var wireGuardKey: X25519PublicKey? {
    guard let key = (try? OfflineResolver().resolve(self))?.encryptionKey, !key.isSmallOrder else { return nil }
    return key
  }
}
