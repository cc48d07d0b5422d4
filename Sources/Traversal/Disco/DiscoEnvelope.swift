public import Cryptography
public import Wire

/// The form in which a disco message travels: magic, the sender's disco key, a nonce, and the message in a NaCl box
/// (`traversal.md`, 2.1).
public enum DiscoEnvelope {
  /// "TS" and U+1F4AC.
  public static let magic: [UInt8] = [0x54, 0x53, 0xf0, 0x9f, 0x92, 0xac]
  static let senderRange = 6..<38
  static let nonceRange = 38..<62
  /// How many bytes longer a sealed message is.
  public static let overhead = nonceRange.upperBound + NaClBox.overhead

  /// The disco key of whoever says to have sent it; `nil` if this is no disco message. Nothing is proved by it.
  public static func sender(of datagram: [UInt8]) -> X25519PublicKey? {
    guard datagram.count >= overhead + 2, datagram.starts(with: magic) else { return nil }
    return X25519PublicKey(datagram[senderRange])
  }

  public static func seal(
    _ message: DiscoMessage, from sender: X25519PublicKey, in box: NaClBox, random: some RandomSource
  ) -> [UInt8] {
    let nonce = random.bytes(NaClBox.nonceLength)
    return magic + sender.bytes.array + nonce + box.seal(message.bytes, nonce: nonce)
  }

  /// `nil` if it was not sealed by the holder of the other key, or says nothing that can be read.
  public static func open(_ datagram: [UInt8], in box: NaClBox) -> DiscoMessage? {
    guard datagram.count >= overhead + 2,
      let plaintext = box.open(datagram[nonceRange.upperBound...], nonce: datagram[nonceRange])
    else { return nil }
    return DiscoMessage(plaintext)
  }
}
