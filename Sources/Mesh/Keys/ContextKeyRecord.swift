public import Cryptography
public import DWN
import Identity
public import Wire

/// `contextKey` of the key-delivery protocol: the network keys that the anchor hands to one machine (`jwe-scheme.md` section 0.2).
///
/// It holds secrets. Its only way to and from a record is `KeyDelivery`.
public struct ContextKeyRecord: MeshPayload {
  public static let schema = RecordSchema.contextKey

  /// The key of an epoch that has passed.
  public struct Earlier: Sendable {
    public let epoch: KeyEpoch
    public let key: X25519PrivateKey

    public init(epoch: KeyEpoch, key: X25519PrivateKey) {
      self.epoch = epoch
      self.key = key
    }
  }

  /// The id of the anchor's root, `<anchor DID>#1`.
  public let rootKeyID: String
  public let network: NetworkID
  public let epoch: KeyEpoch
  public let key: X25519PrivateKey
  /// That of the head that follows the delivery: the lowest that the recipient accepts.
  public let seq: Int64
  /// Highest first, all below `epoch`, at most `maximumEarlier`.
  public let earlier: [Earlier]

  public static let maximumEarlier = 32

  /// What the anchor hands out.
  ///
  /// `earlier` names epochs of the ledger in any order; the newest of those that the keyring has and that precede `epoch` are
  /// taken. `nil` when the keyring does not have the epoch.
  public init?(
    network: NetworkReference, keyring: NetworkKeyring, epoch: KeyEpoch, earlier: some Sequence<KeyEpoch>, seq: Int64
  ) {
    guard keyring.network == network.id, let key = keyring.key(of: epoch) else { return nil }
    self.rootKeyID = network.rootKeyID
    self.network = network.id
    self.epoch = epoch
    self.key = key
    self.seq = seq
    self.earlier = Set(earlier).filter { $0 < epoch }.sorted(by: >).prefix(Self.maximumEarlier).compactMap { epoch in
      keyring.key(of: epoch).map { Earlier(epoch: epoch, key: $0) }
    }
  }

  /// Throws `malformed` also when a private key does not give its public half, and when the derivation path is not that of the
  /// epoch.
  public init(_ members: JSONObject) throws(MeshError) {
    let reader = PayloadReader(members, of: Self.schema)
    rootKeyID = try reader.required("rootKeyId", "text") { $0.string }
    guard reader["derivationScheme"]?.string == "protocolContext" else {
      throw reader.wrong("derivationScheme", "protocolContext")
    }
    epoch = try reader.required("epoch", "an epoch's number") { KeyEpoch($0) }
    let path = try reader.required("derivationPath", "a list of text") { value -> [String]? in
      let segments = value.array?.compactMap(\.string)
      return segments?.count == value.array?.count ? segments : nil
    }
    guard let network = path.last.flatMap({ NetworkID($0) }),
      DerivationPath.network(network.recordID, epoch: epoch).segments == path
    else { throw reader.malformed("derivationPath is not that of epoch \(epoch)") }
    self.network = network
    key = try reader.required("derivedPrivateKey", "an X25519 private key with its public half") {
      X25519PrivateKey(privateJWK: $0)
    }
    seq = try reader.required("seq", "a number from 1") { $0.integer.flatMap { $0 >= 1 ? $0 : nil } }
    let list = try reader.optional("earlier", "a list") { $0.array } ?? []
    guard list.count <= Self.maximumEarlier else {
      throw reader.malformed("it holds more than \(Self.maximumEarlier) earlier epochs")
    }
    var earlier: [Earlier] = []
    for item in list {
      guard let epoch = KeyEpoch(item["epoch"]),
        let key = item["derivedPrivateKey"].flatMap({ X25519PrivateKey(privateJWK: $0) })
      else {
        throw reader.malformed("an earlier epoch has no number, or no X25519 private key with its public half")
      }
      guard epoch < earlier.last?.epoch ?? self.epoch else { throw reader.malformed("earlier epochs are not in order") }
      earlier.append(Earlier(epoch: epoch, key: key))
    }
    self.earlier = earlier
  }

  public var json: JSONValue {
    [
      "rootKeyId": .string(rootKeyID), "derivationScheme": "protocolContext",
      "derivationPath": .array(
        DerivationPath.network(network.recordID, epoch: epoch).segments.map { .string($0) }),
      "derivedPrivateKey": key.privateJWK, "epoch": .integer(epoch.number), "seq": .integer(seq),
      "earlier": .array(earlier.map { ["epoch": .integer($0.epoch.number), "derivedPrivateKey": $0.key.privateJWK] }),
    ]
  }

  /// The tags of its record.
  public var tags: JSONObject {
    [
      KeyDeliveryProtocol.Tag.protocolURI: .string(MeshProtocol.uri),
      KeyDeliveryProtocol.Tag.contextID: .string(network.text),
      KeyDeliveryProtocol.Tag.epoch: .integer(epoch.number),
    ]
  }
}

extension ContextKeyRecord: CustomStringConvertible, CustomReflectable {
  public var description: String { "network key of epoch \(epoch) for \(network)" }
  public var customMirror: Mirror { Mirror(self, children: []) }
}
