internal import CCryptoBoringSSL

/// AES-256 in counter mode (NIST SP 800-38A section 6.5), the whole 16-byte initialization vector being the first counter block.
///
/// It hides and does not protect: whoever opens something with it has to know from elsewhere that the ciphertext is the one that
/// was written. `PacketCipher` and this are the only files that know BoringSSL's module.
public enum AESCTR {
  /// Encrypts, and decrypts: both are the same.
  public static func apply(_ bytes: [UInt8], key: SecretBytes, initializationVector: [UInt8]) -> [UInt8] {
    precondition(key.count == 32 && initializationVector.count == 16, "AES-256-CTR takes 32 and 16 bytes")
    var schedule = AES_KEY()
    defer { CCryptoBoringSSL_OPENSSL_cleanse(&schedule, MemoryLayout<AES_KEY>.size) }
    _ = key.withUnsafeBytes {
      CCryptoBoringSSL_AES_set_encrypt_key($0.baseAddress!.assumingMemoryBound(to: UInt8.self), 256, &schedule)
    }
    var result = [UInt8](repeating: 0, count: bytes.count)
    var counter = initializationVector
    var keystream = [UInt8](repeating: 0, count: 16)
    defer { wipe(&keystream) }
    var used: UInt32 = 0
    CCryptoBoringSSL_AES_ctr128_encrypt(bytes, &result, bytes.count, &schedule, &counter, &keystream, &used)
    return result
  }
}
