public import Cryptography
public import Identity
public import Wire

/// The record keys of one identity: a tree of HKDF steps that begins at its X25519 key.
///
/// Whoever holds a key can compute all keys below it, and none above or beside it. So no key that is handed out may lie above
/// another.
public struct KeyTree: Sendable {
  private let root: X25519PrivateKey

  public init(root: X25519PrivateKey) {
    self.root = root
  }

  public init(_ identity: MachineIdentity) {
    self.init(root: identity.wireGuardKey)
  }

  /// One HKDF-SHA256 step for each segment: the key so far as input, an empty salt, the segment as info.
  public func key(at path: DerivationPath) -> X25519PrivateKey {
    let bytes = path.segments.reduce(root.bytes) { key, segment in
      KeyDerivation.hkdfSHA256(key, info: Array(segment.utf8))
    }
    // HKDF was asked for the 32 bytes that every X25519 key has.
    return X25519PrivateKey(bytes)!
  }

  /// The owner's own key for the records of one path, whose public half stands in the installed definition.
  public func typeKey(protocolURI: String, path: ProtocolPath) -> X25519PrivateKey {
    key(at: .type(protocolURI: protocolURI, path: path))
  }

  /// The key that all members of a network share during an epoch.
  public func networkKey(_ network: RecordID, epoch: KeyEpoch) -> X25519PrivateKey {
    key(at: .network(network, epoch: epoch))
  }
}

/// The way from the root to a key: at least one segment, and none empty.
public struct DerivationPath: Hashable, Sendable {
  public let segments: [String]

  public init?(_ segments: [String]) {
    guard !segments.isEmpty, segments.allSatisfy({ !$0.isEmpty }) else { return nil }
    self.segments = segments
  }

  /// `protocolPath`, the protocol's URI, and the names of the path. The URI is one that was checked, so it is not empty.
  public static func type(protocolURI: String, path: ProtocolPath) -> DerivationPath {
    precondition(!protocolURI.isEmpty, "a protocol has a URI")
    return DerivationPath(["protocolPath", protocolURI] + path.segments)!
  }

  /// `protocolPath` and the protocol's URI alone: above the keys of all its paths, so it is handed to nobody.
  public static func type(protocolURI: String) -> DerivationPath {
    precondition(!protocolURI.isEmpty, "a protocol has a URI")
    return DerivationPath(["protocolPath", protocolURI])!
  }

  /// `protocolContext` and the network's id, from epoch 1 on with the epoch's number between them: each epoch's key is a sibling
  /// of the others', never below one.
  public static func network(_ network: RecordID, epoch: KeyEpoch) -> DerivationPath {
    let number = epoch == .first ? [] : [String(epoch.number)]
    return DerivationPath(["protocolContext"] + number + [network.text])!
  }
}

/// The number of a network key: 0 for the first, afterwards rising and mostly the time in seconds at which it began.
public struct KeyEpoch: Hashable, Sendable, Comparable, CustomStringConvertible {
  /// 0…2^53 − 1, since it travels as a JSON number.
  public let number: Int64

  public static let first = KeyEpoch(0)!

  /// `nil` for a negative number and for one that JSON cannot carry.
  public init?(_ number: Int64) {
    guard (0...JSONValue.greatestInteger).contains(number) else { return nil }
    self.number = number
  }

  /// `nil` unless it is an integer in range.
  public init?(_ json: JSONValue?) {
    guard let number = json?.integer else { return nil }
    self.init(number)
  }

  public static func < (a: KeyEpoch, b: KeyEpoch) -> Bool { a.number < b.number }
  public var description: String { String(number) }
}
