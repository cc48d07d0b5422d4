public import Cryptography
import Wire

/// A record of encryption v1 that is known to be whole: its signed descriptor names this ciphertext, and its signed payload this
/// envelope.
///
/// Counter mode has no tag, so nothing else would tell an altered ciphertext, or the envelope of another record, from the real one.
/// Hence both are checked here, without exception, whatever was checked before.
public struct V1SealedRecord: Hashable, Sendable {
  public let envelope: V1Envelope
  private let ciphertext: [UInt8]

  /// Throws `notAuthentic` when data, envelope and signature do not belong together.
  public init(_ write: RecordsWrite, data: [UInt8]) throws(EnvelopeError) {
    guard let encryption = write.encryption else { throw .malformed("the record is not encrypted") }
    guard write.signed.payload.encryptionCID == CID(of: .object(encryption)).text, write.matches(data: data) else {
      throw .notAuthentic
    }
    envelope = try V1Envelope(.object(encryption))
    ciphertext = data
  }

  /// Opens it with the entry that names the key, and no other.
  public func open(with key: X25519PrivateKey, as scheme: V1Envelope.Scheme) throws(EnvelopeError) -> [UInt8] {
    try envelope.open(ciphertext, with: key, scheme)
  }
}
