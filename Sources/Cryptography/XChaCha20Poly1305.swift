import CSodium

/// XChaCha20-Poly1305 with a 24-byte nonce (draft-irtf-cfrg-xchacha): WireGuard's cookie replies.
public enum XChaCha20Poly1305 {
  public static func seal(_ plaintext: [UInt8], key: [UInt8], nonce: [UInt8], additionalData: [UInt8]) -> [UInt8] {
    _ = Sodium.ready
    precondition(key.count == 32 && nonce.count == 24, "XChaCha20-Poly1305 takes a 32-byte key and a 24-byte nonce")
    var sealed = [UInt8](repeating: 0, count: plaintext.count + 16)
    crypto_aead_xchacha20poly1305_ietf_encrypt(
      &sealed, nil, plaintext, UInt64(plaintext.count), additionalData, UInt64(additionalData.count), nil, nonce, key)
    return sealed
  }

  /// `nil` if it does not authenticate.
  public static func open(_ sealed: [UInt8], key: [UInt8], nonce: [UInt8], additionalData: [UInt8]) -> [UInt8]? {
    _ = Sodium.ready
    guard sealed.count >= 16, key.count == 32, nonce.count == 24 else { return nil }
    var plaintext = [UInt8](repeating: 0, count: sealed.count - 16)
    let status = crypto_aead_xchacha20poly1305_ietf_decrypt(
      &plaintext, nil, nil, sealed, UInt64(sealed.count), additionalData, UInt64(additionalData.count), nonce, key)
    return status == 0 ? plaintext : nil
  }
}
