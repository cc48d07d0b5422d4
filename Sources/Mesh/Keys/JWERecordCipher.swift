import Cryptography
public import DWN
public import Identity
public import Wire

/// The records of a network with the JWE envelope (`jwe-scheme.md` section 0).
///
/// A record that members read has two entries: the network key of the current epoch, then the anchor's key for the path. One that
/// the anchor alone reads has the second. Whoever holds network keys, the anchor too, opens the first where there is one.
public struct JWERecordCipher: RecordCipher {
  public let network: NetworkReference
  /// The epoch of what is written: that of the accepted head, and of no other record.
  public var epoch: KeyEpoch
  public var keyring: NetworkKeyring
  /// The anchor's verified mesh definition: its keys for each path. Only writing needs it.
  public var definition: MeshDefinition?
  /// The record keys of the reader when it is the anchor.
  private let anchorKeys: KeyTree?

  /// `identity` is who reads and writes; when it is the anchor it can open what is meant for the anchor alone.
  public init(
    network: NetworkReference, identity: MachineIdentity, keyring: NetworkKeyring, epoch: KeyEpoch,
    definition: MeshDefinition?
  ) {
    self.network = network
    self.keyring = keyring
    self.epoch = epoch
    self.definition = definition
    self.anchorKeys = identity.did == network.anchor ? KeyTree(identity) : nil
  }

  public func seal(
    _ plaintext: [UInt8], at path: ProtocolPath, random: any RandomSource
  ) throws(MeshError) -> SealedData {
    var recipients: [EnvelopeRecipient] = []
    switch MeshProtocol.secrecy(of: path) {
    case nil: throw .cannotEncrypt(path: path, reason: "the mesh protocol has no such path")
    case .clear: return SealedData(data: plaintext, encryption: nil)
    case .members:
      guard let key = keyring.key(of: epoch) else {
        throw .cannotEncrypt(path: path, reason: "the network key of epoch \(epoch) has not arrived")
      }
      recipients.append(EnvelopeRecipient(key.publicKey, .protocolContext(epoch)))
    case .anchor: break
    }
    guard let definition, definition.envelope == .jwe, let typeKey = definition.typeKeys[path] else {
      throw .cannotEncrypt(path: path, reason: "the anchor's definition gives no key for it")
    }
    recipients.append(EnvelopeRecipient(typeKey, .protocolPath))
    do {
      let (envelope, ciphertext) = try JWEEnvelope.seal(plaintext, to: recipients, random: random)
      return SealedData(data: ciphertext, encryption: envelope.json)
    } catch {
      throw .cannotEncrypt(path: path, reason: error.description)
    }
  }

  public func open(_ write: RecordsWrite, data: [UInt8]) throws(MeshError) -> [UInt8] {
    let path = write.path
    guard write.protocolURI == MeshProtocol.uri, let secrecy = MeshProtocol.secrecy(of: path),
      write.contextID.root == network.id.recordID
    else { throw .unreadable(path: path, reason: .elsewhere) }
    guard let encryption = write.encryption else {
      guard secrecy == .clear else { throw .unreadable(path: path, reason: .inClear) }
      return data
    }
    guard secrecy != .clear else { throw .unreadable(path: path, reason: .encrypted) }
    do throws(EnvelopeError) {
      let envelope = try JWEEnvelope(.object(encryption))
      if let entry = envelope.entries.first(where: { $0.scheme == .didKey }) {
        throw .malformed("the entry for \(entry.kid) has a scheme that only deliveries have")
      }
      let typeKey =
        envelope.networkEntry == nil ? anchorKeys?.typeKey(protocolURI: MeshProtocol.uri, path: path) : nil
      return try envelope.open(data, networkKey: { keyring.key(of: $0) }, typeKey: typeKey)
    } catch {
      throw .unreadable(path: path, reason: .envelope(error))
    }
  }

  /// A later member is handed the keys of earlier epochs too.
  public func isCurrent(_ write: RecordsWrite) -> Bool { true }
}
