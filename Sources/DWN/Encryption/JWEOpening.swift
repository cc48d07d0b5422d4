public import Cryptography
import Identity

extension JWEEnvelope {
  /// Opens a record for a reader of its network.
  ///
  /// An entry for a network key decides wherever there is one, also for the owner, who could read another entry too: two entries
  /// must not show two readers two texts. Only a record without such an entry is opened with `typeKey`. Of either, the one entry
  /// that names the key is tried and no other.
  public func open(
    _ ciphertext: [UInt8], networkKey: (KeyEpoch) -> X25519PrivateKey?, typeKey: X25519PrivateKey? = nil
  ) throws(EnvelopeError) -> [UInt8] {
    if let entry = networkEntry, let epoch = entry.scheme.epoch {
      guard let key = networkKey(epoch) else { throw .missingNetworkKey(epoch) }
      return try open(ciphertext, entry: entry, with: key)
    }
    guard let typeKey else { throw .ownerOnly }
    guard let entry = entry(for: typeKey.publicKey), entry.scheme == .protocolPath else {
      throw .notAddressed(kid: PublicJWK.x25519(typeKey.publicKey).thumbprint)
    }
    return try open(ciphertext, entry: entry, with: typeKey)
  }

  /// Opens a record that is encrypted to the key of the reader's DID and to nothing else, as deliveries of network keys are.
  public func open(_ ciphertext: [UInt8], didKey: X25519PrivateKey) throws(EnvelopeError) -> [UInt8] {
    guard entries.count == 1, entries[0].scheme == .didKey else {
      throw .malformed("a delivery has exactly one recipient, of the scheme didKey")
    }
    return try open(ciphertext, entry: entries[0], with: didKey)
  }

  /// Opens with the entry that names the key, whatever its scheme.
  public func open(_ ciphertext: [UInt8], with key: X25519PrivateKey) throws(EnvelopeError) -> [UInt8] {
    guard let entry = entry(for: key.publicKey) else {
      throw .notAddressed(kid: PublicJWK.x25519(key.publicKey).thumbprint)
    }
    return try open(ciphertext, entry: entry, with: key)
  }

  private func open(_ ciphertext: [UInt8], entry: Entry, with key: X25519PrivateKey) throws(EnvelopeError) -> [UInt8] {
    let kid = PublicJWK.x25519(key.publicKey).thumbprint
    guard entry.kid == kid else { throw .notAddressed(kid: kid) }
    guard let contentKey = entry.unwrap(with: key),
      let plaintext = AESGCM.open(
        ciphertext, tag: tag, key: contentKey, nonce: iv, additionalData: Array(Self.protectedText.utf8))
    else { throw .notAuthentic }
    return plaintext
  }
}

extension JWEEnvelope.Entry {
  /// `nil` for another reader's key, an altered entry, and an ephemeral key of small order.
  func unwrap(with key: X25519PrivateKey) -> SecretBytes? {
    guard let shared = key.sharedSecret(with: ephemeralKey) else { return nil }
    return AESKeyWrap.unwrap(
      encryptedKey, with: KeyDerivation.concatSHA256(shared, algorithmID: JWEEnvelope.algorithm))
  }
}
