import Cryptography
import Identity
public import Wire

extension JWEEnvelope {
  /// Encrypts a record's data to its readers, in their order, under a fresh content key.
  ///
  /// `random` gives the content key, the nonce and one ephemeral key for each entry, and must never repeat itself.
  public static func seal(
    _ plaintext: [UInt8], to recipients: [EnvelopeRecipient], random: some RandomSource
  ) throws(EnvelopeError) -> (envelope: JWEEnvelope, ciphertext: [UInt8]) {
    guard !recipients.isEmpty else { throw .noRecipients }
    guard recipients.count <= maximumRecipients else { throw .tooManyRecipients(limit: maximumRecipients) }
    guard recipients.count(where: { $0.scheme.epoch != nil }) <= 1 else { throw .severalNetworkKeys }
    let contentKey = SecretBytes(count: 32) { random.fill($0) }
    let iv = random.bytes(12)
    var entries: [Entry] = []
    for recipient in recipients {
      guard !entries.contains(where: { $0.kid == recipient.kid }) else { throw .repeatedRecipient(kid: recipient.kid) }
      entries.append(try Entry(wrapping: contentKey, for: recipient, ephemeral: X25519PrivateKey(random: random)))
    }
    // Key and nonce have the lengths that the cipher asks for, and that is all it can refuse.
    guard
      let sealed = try? AESGCM.seal(plaintext, key: contentKey, nonce: iv, additionalData: Array(protectedText.utf8))
    else { throw .notAuthentic }
    return (JWEEnvelope(iv: iv, tag: sealed.tag, entries: entries), sealed.ciphertext)
  }
}

extension JWEEnvelope.Entry {
  init(wrapping contentKey: SecretBytes, for recipient: EnvelopeRecipient, ephemeral: X25519PrivateKey)
    throws(EnvelopeError)
  {
    guard let shared = ephemeral.sharedSecret(with: recipient.key) else { throw .unusableKey(kid: recipient.kid) }
    let wrappingKey = KeyDerivation.concatSHA256(shared, algorithmID: JWEEnvelope.algorithm)
    guard let wrapped = try? AESKeyWrap.wrap(contentKey, with: wrappingKey) else {
      throw .unusableKey(kid: recipient.kid)
    }
    self.init(
      kid: recipient.kid, scheme: recipient.scheme, ephemeralKey: ephemeral.publicKey, encryptedKey: wrapped)
  }
}
