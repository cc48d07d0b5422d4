public import DWN
public import Identity
public import Wire

/// What can be wrong with the records of a mesh and with what is asked of it.
public enum MeshError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The data of a record is not what its type prescribes. The record counts, and nothing follows from it.
  case malformed(record: String, reason: String)
  /// What was about to be written breaks the schema of its own type.
  case unwritable(record: String, reason: String)
  /// A protocol definition from which no keys can be taken.
  case unusableDefinition(reason: String)
  /// A record that cannot be opened.
  case unreadable(path: ProtocolPath, reason: Unreadable)
  /// A record that cannot be encrypted.
  case cannotEncrypt(path: ProtocolPath, reason: String)
  case unusableCIDR(String)
  /// Every address of the block belongs to somebody.
  case noFreeAddress(IPPrefix)
  /// A DID from which no key for encryption follows.
  case noKey(DID)

  /// Why a record cannot be opened.
  public enum Unreadable: Hashable, Sendable, CustomStringConvertible {
    /// Its path is encrypted, and it is not.
    case inClear
    /// Its path is never encrypted, and it is.
    case encrypted
    /// It belongs to another network or protocol.
    case elsewhere
    /// What is wrong with the envelope, or the key that is missing.
    case envelope(EnvelopeError)

    public var description: String {
      switch self {
      case .inClear: "it must be encrypted and is in clear"
      case .encrypted: "it must be in clear and is encrypted"
      case .elsewhere: "it does not belong to this network"
      case .envelope(let error): error.description
      }
    }
  }

  public var description: String {
    switch self {
    case .malformed(let record, let reason): "the \(record) record cannot be used: \(reason)"
    case .unwritable(let record, let reason): "a \(record) record like this cannot be written: \(reason)"
    case .unusableDefinition(let reason): "the anchor's protocol definition cannot be used: \(reason)"
    case .unreadable(let path, let reason): "the record at \(path) cannot be read: \(reason)"
    case .cannotEncrypt(let path, let reason): "nothing can be written at \(path): \(reason)"
    case .unusableCIDR(let text):
      "\"\(text)\" is not a block of IPv4 addresses for a mesh: write it like 10.200.0.0/16, with a length of at most 30"
    case .noFreeAddress(let block): "the mesh has no free address left in \(block): remove a peer"
    case .noKey(let did): "no encryption key follows from \(did): it must be a did:jwk or did:key of an Ed25519 key"
    }
  }

  /// The epoch whose key has to arrive before the record can be opened.
  public var missingEpoch: KeyEpoch? {
    if case .unreadable(_, .envelope(.missingNetworkKey(let epoch))) = self { epoch } else { nil }
  }
}
