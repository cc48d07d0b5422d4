import CSodium

/// NaCl's box between two X25519 keys (X25519, HSalsa20, XSalsa20-Poly1305; D. J. Bernstein, "Cryptography in NaCl"), with the shared
/// key computed once: what disco messages and DERP's first frames are sealed with.
public struct NaClBox: Sendable {
  public static let nonceLength = 24
  /// How many bytes longer what is sealed is.
  public static let overhead = 16

  private let key: SecretBytes

  /// `nil` for a public key of small order, with which nothing is secret.
  public init?(_ local: X25519PrivateKey, _ remote: X25519PublicKey) {
    var status: CInt = -1
    key = SecretBytes(count: 32) { key in
      local.bytes.withUnsafeBytes { secret in
        remote.bytes.withUnsafeBytes { point in
          status = crypto_box_beforenm(
            key.baseAddress!.assumingMemoryBound(to: UInt8.self),
            point.baseAddress!.assumingMemoryBound(to: UInt8.self),
            secret.baseAddress!.assumingMemoryBound(to: UInt8.self))
        }
      }
    }
    guard status == 0 else { return nil }
  }

  /// The tag, then the ciphertext.
  public func seal(_ plaintext: [UInt8], nonce: [UInt8]) -> [UInt8] {
    precondition(nonce.count == NaClBox.nonceLength, "a box takes a 24-byte nonce")
    var sealed = [UInt8](repeating: 0, count: plaintext.count + NaClBox.overhead)
    _ = key.withUnsafeBytes { key in
      crypto_box_easy_afternm(
        &sealed, plaintext, UInt64(plaintext.count), nonce, key.baseAddress!.assumingMemoryBound(to: UInt8.self))
    }
    return sealed
  }

  /// `nil` if it does not authenticate.
  public func open(_ sealed: some Collection<UInt8>, nonce: some Collection<UInt8>) -> [UInt8]? {
    guard sealed.count >= NaClBox.overhead, nonce.count == NaClBox.nonceLength else { return nil }
    var plaintext = [UInt8](repeating: 0, count: sealed.count - NaClBox.overhead)
    let status = key.withUnsafeBytes { key in
      crypto_box_open_easy_afternm(
        &plaintext, Array(sealed), UInt64(sealed.count), Array(nonce),
        key.baseAddress!.assumingMemoryBound(to: UInt8.self))
    }
    return status == 0 ? plaintext : nil
  }
}
