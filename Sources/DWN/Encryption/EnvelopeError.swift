/// Why a record cannot be sealed or opened. No case carries a key, a plaintext, or which step of opening failed.
public enum EnvelopeError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The `encryption` member is not of the one form that is written.
  case malformed(String)
  /// It is encrypted to the network key of an epoch that the reader does not hold.
  case missingNetworkKey(KeyEpoch)
  /// It is encrypted to audiences of which the reader has no key.
  case missingAudienceKey
  /// It is encrypted to its type key alone, which only the owner of the network can derive.
  case ownerOnly
  /// It is not encrypted to the reader's key.
  case notAddressed(kid: String)
  /// Key, envelope and ciphertext do not belong together: something was altered.
  case notAuthentic
  case noRecipients
  case tooManyRecipients(limit: Int)
  case repeatedRecipient(kid: String)
  /// Two entries for network keys: readers of two epochs could be shown two texts.
  case severalNetworkKeys
  /// A public key with which every shared secret would be zero.
  case unusableKey(kid: String)

  public var description: String {
    switch self {
    case .malformed(let reason): "the encryption member is malformed: \(reason)"
    case .missingNetworkKey(let epoch): "the network key of epoch \(epoch) has not arrived: the anchor delivers it"
    case .missingAudienceKey: "no key of a role that may read it has arrived: the anchor delivers it"
    case .ownerOnly: "the record is encrypted to the owner of the network alone"
    case .notAddressed(let kid): "the record is not encrypted to the key \(kid)"
    case .notAuthentic: "the record does not open: its encryption, its data or the key was altered"
    case .noRecipients: "a record must be encrypted to at least one key"
    case .tooManyRecipients(let limit): "a record is encrypted to at most \(limit) keys"
    case .repeatedRecipient(let kid): "the key \(kid) is named twice"
    case .severalNetworkKeys: "a record is encrypted to one network key at most"
    case .unusableKey(let kid): "the key \(kid) is of small order: nothing can be encrypted with it"
    }
  }
}
