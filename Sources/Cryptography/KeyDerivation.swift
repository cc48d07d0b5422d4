import Crypto
import Foundation

public enum KeyDerivation {
  /// HKDF-SHA256 (RFC 5869) with an empty salt.
  public static func hkdfSHA256(_ secret: SecretBytes, info: [UInt8], count: Int = 32) -> SecretBytes {
    let input = secret.withUnsafeBytes { SymmetricKey(data: $0) }
    let output = HKDF<SHA256>.deriveKey(inputKeyMaterial: input, info: info, outputByteCount: count)
    return output.withUnsafeBytes { SecretBytes($0) }
  }

  /// The Concat KDF of NIST SP 800-56A section 5.8.1 with SHA-256, as RFC 7518 section 4.6.2 uses it: one round, 256 bits.
  ///
  /// `otherInfo` is the algorithm's id with its length, two empty party infos, and the key length in bits.
  public static func concatSHA256(_ sharedSecret: SecretBytes, algorithmID: String) -> SecretBytes {
    var hash = SHA256()
    hash.update(data: bigEndian(1))
    sharedSecret.withUnsafeBytes { hash.update(bufferPointer: $0) }
    hash.update(data: bigEndian(UInt32(algorithmID.utf8.count)))
    hash.update(data: Array(algorithmID.utf8))
    hash.update(data: bigEndian(0))
    hash.update(data: bigEndian(0))
    hash.update(data: bigEndian(256))
    return hash.finalize().withUnsafeBytes { SecretBytes($0) }
  }

  private static func bigEndian(_ value: UInt32) -> [UInt8] {
    withUnsafeBytes(of: value.bigEndian) { Array($0) }
  }
}

/// AES Key Wrap (RFC 3394) with the default initial value and a 256-bit key-encryption key.
public enum AESKeyWrap {
  public static func wrap(_ key: SecretBytes, with keyEncryptionKey: SecretBytes) throws -> [UInt8] {
    Array(
      try AES.KeyWrap.wrap(
        key.withUnsafeBytes { SymmetricKey(data: $0) },
        using: keyEncryptionKey.withUnsafeBytes { SymmetricKey(data: $0) }))
  }

  /// `nil` if the integrity check fails, as it does for a wrong key.
  public static func unwrap(_ wrapped: [UInt8], with keyEncryptionKey: SecretBytes) -> SecretBytes? {
    guard
      let key = try? AES.KeyWrap.unwrap(wrapped, using: keyEncryptionKey.withUnsafeBytes { SymmetricKey(data: $0) })
    else { return nil }
    return key.withUnsafeBytes { SecretBytes($0) }
  }
}

/// AES-256-GCM (NIST SP 800-38D) with the tag apart from the ciphertext.
public enum AESGCM {
  /// `nonce` has 12 bytes; the tag has 16.
  public static func seal(
    _ plaintext: [UInt8], key: SecretBytes, nonce: [UInt8], additionalData: [UInt8]
  ) throws -> (ciphertext: [UInt8], tag: [UInt8]) {
    let box = try AES.GCM.seal(
      plaintext, using: key.withUnsafeBytes { SymmetricKey(data: $0) }, nonce: AES.GCM.Nonce(data: nonce),
      authenticating: additionalData)
    return (Array(box.ciphertext), Array(box.tag))
  }

  /// `nil` if anything does not fit: key, nonce, additional data, ciphertext or tag.
  public static func open(
    _ ciphertext: [UInt8], tag: [UInt8], key: SecretBytes, nonce: [UInt8], additionalData: [UInt8]
  ) -> [UInt8]? {
    guard nonce.count == 12, tag.count == 16, key.count == 32, let nonce = try? AES.GCM.Nonce(data: nonce),
      let box = try? AES.GCM.SealedBox(nonce: nonce, ciphertext: ciphertext, tag: tag),
      let plaintext = try? AES.GCM.open(
        box, using: key.withUnsafeBytes { SymmetricKey(data: $0) }, authenticating: additionalData)
    else { return nil }
    return Array(plaintext)
  }
}
