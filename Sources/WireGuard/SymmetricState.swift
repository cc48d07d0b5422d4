import Cryptography

/// The running hash and chaining key of a handshake (Noise §5.2, WireGuard §5.4).
struct SymmetricState: Sendable {
  private static let construction = Array("Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s".utf8)
  private static let identifier = Array("WireGuard v1 zx2c4 Jason@zx2c4.com".utf8)

  static let initialChainingKey = BLAKE2s.hash(construction)
  static let initialHash = BLAKE2s.hash(initialChainingKey, identifier)

  private(set) var chainingKey: SecretBytes
  private(set) var hash: [UInt8]

  /// The start of every handshake with this responder.
  init(responder: X25519PublicKey) {
    chainingKey = SecretBytes(SymmetricState.initialChainingKey)
    hash = BLAKE2s.hash(SymmetricState.initialHash, responder.bytes.array)
  }

  mutating func mixHash(_ bytes: [UInt8]) {
    hash = BLAKE2s.hash(hash, bytes)
  }

  /// Takes a public value into the chaining key.
  mutating func mixKey(_ input: X25519PublicKey) {
    chainingKey = SymmetricState.derive(chainingKey, SecretBytes(input.bytes.array), count: 1)[0]
  }

  /// Takes a secret into the chaining key.
  mutating func mixKey(_ input: SecretBytes) {
    chainingKey = SymmetricState.derive(chainingKey, input, count: 1)[0]
  }

  /// Takes a secret into the chaining key and gives the key for the next sealed field.
  mutating func mixKeyForField(_ input: SecretBytes) -> SecretBytes {
    let keys = SymmetricState.derive(chainingKey, input, count: 2)
    chainingKey = keys[0]
    return keys[1]
  }

  /// Takes the preshared key into both and gives the key for the next sealed field.
  mutating func mixPresharedKey(_ presharedKey: SecretBytes) -> SecretBytes {
    let keys = SymmetricState.derive(chainingKey, presharedKey, count: 3)
    chainingKey = keys[0]
    keys[1].withUnsafeBytes { mixHash(Array($0)) }
    return keys[2]
  }

  /// Seals a field under a key that is used once, and takes the result into the hash.
  mutating func seal(_ plaintext: [UInt8], key: SecretBytes) -> [UInt8] {
    let field = ChaCha20Poly1305.seal(plaintext, key: key, counter: 0, additionalData: hash)
    mixHash(field)
    return field
  }

  /// Opens a field. `nil`, with the state unchanged, if it does not authenticate.
  mutating func open(_ field: [UInt8], key: SecretBytes) -> [UInt8]? {
    guard let plaintext = ChaCha20Poly1305.open(field, key: key, counter: 0, additionalData: hash) else { return nil }
    mixHash(field)
    return plaintext
  }

  /// The transport keys: the initiator's sending key and the responder's.
  func split() -> (initiator: SecretBytes, responder: SecretBytes) {
    let keys = SymmetricState.derive(chainingKey, SecretBytes([]), count: 2)
    return (keys[0], keys[1])
  }

  /// KDF₁…KDF₃ of WireGuard §5.4: HKDF with HMAC-BLAKE2s.
  static func derive(_ key: SecretBytes, _ input: SecretBytes, count: Int) -> [SecretBytes] {
    precondition((1...3).contains(count), "the handshake derives one to three keys at a time")
    var chainingKey = key.copy()
    var material = input.copy()
    var secret = BLAKE2s.hmac(key: chainingKey, material)
    wipe(&chainingKey)
    wipe(&material)
    var keys: [SecretBytes] = []
    var previous: [UInt8] = []
    for number in 1...UInt8(count) {
      var output = BLAKE2s.hmac(key: secret, previous, [number])
      wipe(&previous)
      keys.append(SecretBytes(output))
      swap(&previous, &output)
    }
    wipe(&previous)
    wipe(&secret)
    return keys
  }
}
