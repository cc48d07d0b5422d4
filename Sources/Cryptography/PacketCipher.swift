internal import CCryptoBoringSSL

/// ChaCha20-Poly1305 (RFC 8439) for packets: one key, set up once, sealing and opening between raw buffers without allocation.
///
/// The nonce is WireGuard's: four zero bytes and the counter in little-endian. This and `AESCTR` are the only files that know
/// BoringSSL's module, which swift-crypto builds and does not promise to keep; `docs/decisions/packet-aead.md` has the
/// measurements.
public struct PacketCipher: ~Copyable, @unchecked Sendable {
  /// Bytes that sealing adds.
  public static let tagLength = 16

  // Immutable after `init`; BoringSSL reads it alone from then on, so several threads may.
  private let context: UnsafeMutablePointer<EVP_AEAD_CTX>

  public init(key: SecretBytes) {
    precondition(key.count == 32, "ChaCha20-Poly1305 takes a 32-byte key")
    context = .allocate(capacity: 1)
    let status = key.withUnsafeBytes {
      CCryptoBoringSSL_EVP_AEAD_CTX_init(
        context, CCryptoBoringSSL_EVP_aead_chacha20_poly1305(), $0.baseAddress!.assumingMemoryBound(to: UInt8.self), 32,
        PacketCipher.tagLength, nil)
    }
    precondition(status == 1, "BoringSSL refused a 32-byte ChaCha20-Poly1305 key")
  }

  deinit {
    CCryptoBoringSSL_EVP_AEAD_CTX_cleanup(context)
    // Cleaning up does not promise to wipe the key schedule, which lies in this memory.
    CCryptoBoringSSL_OPENSSL_cleanse(context, MemoryLayout<EVP_AEAD_CTX>.size)
    context.deallocate()
  }

  /// Seals `count` bytes from `source` into `destination`, which has room for `count + 16`. The two may be the same place, and
  /// must not overlap otherwise.
  public func seal(
    _ source: UnsafeRawPointer, count: Int, counter: UInt64, into destination: UnsafeMutableRawPointer
  ) {
    var nonce = (
      UInt32(0), UInt32(truncatingIfNeeded: counter.littleEndian),
      UInt32(truncatingIfNeeded: counter.littleEndian >> 32)
    )
    var length = 0
    withUnsafeBytes(of: &nonce) { nonce in
      _ = CCryptoBoringSSL_EVP_AEAD_CTX_seal(
        context, destination.assumingMemoryBound(to: UInt8.self), &length, count &+ PacketCipher.tagLength,
        nonce.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: UInt8.self), 12,
        source.assumingMemoryBound(to: UInt8.self), count, nil, 0)
    }
  }

  /// Opens `count` bytes (ciphertext and tag) in place. `false`, with the buffer in an undefined state, if they do not
  /// authenticate.
  public func open(_ buffer: UnsafeMutableRawPointer, count: Int, counter: UInt64) -> Bool {
    guard count >= PacketCipher.tagLength else { return false }
    var nonce = (
      UInt32(0), UInt32(truncatingIfNeeded: counter.littleEndian),
      UInt32(truncatingIfNeeded: counter.littleEndian >> 32)
    )
    var length = 0
    return withUnsafeBytes(of: &nonce) { nonce in
      CCryptoBoringSSL_EVP_AEAD_CTX_open(
        context, buffer.assumingMemoryBound(to: UInt8.self), &length, count,
        nonce.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: UInt8.self), 12,
        buffer.assumingMemoryBound(to: UInt8.self), count, nil, 0) == 1
    }
  }
}

/// The same cipher for single messages with additional data: the handshake's fields.
public enum ChaCha20Poly1305 {
  /// Ciphertext and tag.
  public static func seal(_ plaintext: [UInt8], key: SecretBytes, counter: UInt64, additionalData: [UInt8]) -> [UInt8] {
    var sealed = [UInt8](repeating: 0, count: plaintext.count + PacketCipher.tagLength)
    var length = 0
    withContext(key, counter) { context, nonce in
      _ = CCryptoBoringSSL_EVP_AEAD_CTX_seal(
        context, &sealed, &length, plaintext.count + PacketCipher.tagLength, nonce, 12, plaintext, plaintext.count,
        additionalData, additionalData.count)
    }
    return sealed
  }

  /// `nil` if it does not authenticate.
  public static func open(
    _ sealed: [UInt8], key: SecretBytes, counter: UInt64, additionalData: [UInt8]
  ) -> [UInt8]? {
    guard sealed.count >= PacketCipher.tagLength else { return nil }
    var plaintext = [UInt8](repeating: 0, count: sealed.count)
    var length = 0
    let status = withContext(key, counter) { context, nonce in
      CCryptoBoringSSL_EVP_AEAD_CTX_open(
        context, &plaintext, &length, sealed.count, nonce, 12, sealed, sealed.count, additionalData,
        additionalData.count)
    }
    guard status == 1 else { return nil }
    plaintext.removeLast(plaintext.count - length)
    return plaintext
  }

  private static func withContext<R>(
    _ key: SecretBytes, _ counter: UInt64, _ body: (UnsafeMutablePointer<EVP_AEAD_CTX>, [UInt8]) -> R
  ) -> R {
    precondition(key.count == 32, "ChaCha20-Poly1305 takes a 32-byte key")
    var context = EVP_AEAD_CTX()
    defer {
      CCryptoBoringSSL_EVP_AEAD_CTX_cleanup(&context)
      CCryptoBoringSSL_OPENSSL_cleanse(&context, MemoryLayout<EVP_AEAD_CTX>.size)
    }
    _ = key.withUnsafeBytes {
      CCryptoBoringSSL_EVP_AEAD_CTX_init(
        &context, CCryptoBoringSSL_EVP_aead_chacha20_poly1305(), $0.baseAddress!.assumingMemoryBound(to: UInt8.self),
        32,
        PacketCipher.tagLength, nil)
    }
    return body(&context, [0, 0, 0, 0] + withUnsafeBytes(of: counter.littleEndian) { Array($0) })
  }
}
