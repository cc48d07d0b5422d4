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
    guard try MeshProtocol.isSealed(at: path) else { return SealedData(data: plaintext, encryption: nil) }
    var recipients: [EnvelopeRecipient] = []
    if MeshProtocol.secrecy(of: path) == .members {
      guard let key = keyring.key(of: epoch) else {
        throw .cannotEncrypt(path: path, reason: "the network key of epoch \(epoch) has not arrived")
      }
      recipients.append(EnvelopeRecipient(key.publicKey, .protocolContext(epoch)))
    }
    recipients.append(EnvelopeRecipient(try definition.typeKey(at: path, in: .jwe), .protocolPath))
    return try SealedData(at: path) { () throws(EnvelopeError) in
      let (envelope, ciphertext) = try JWEEnvelope.seal(plaintext, to: recipients, random: random)
      return (envelope.json, ciphertext)
    }
  }

  public func open(_ write: RecordsWrite, data: [UInt8]) throws(MeshError) -> [UInt8] {
    let path = write.path
    guard let encryption = try network.encryption(of: write) else { return data }
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

  /// Whether its epoch is among the newest eight: a later member is handed the keys of those, and of some more. For the anchor, whose
  /// keyring knows no epochs, the ledger decides (`Ledger.writeOldAnew`).
  public func isCurrent(_ write: RecordsWrite) -> Bool {
    // Keys may be here before the heads that begin their epochs.
    Self.epoch(of: write).map { Self.isRecent($0, among: keyring.epochs.filter { $0 <= epoch }) } ?? true
  }

  /// Epochs within which a record need not be written anew (`trust.md` section 7). A delivery holds four times as many, so that whoever
  /// is late with that can be read nonetheless.
  static let recentEpochs = 8

  /// Whether an epoch is among the newest of all.
  static func isRecent(_ epoch: KeyEpoch, among all: some Sequence<KeyEpoch>) -> Bool {
    all.count { $0 > epoch } < recentEpochs
  }

  /// The epoch of the network key that opens a record; `nil` for one in clear, or for the anchor alone.
  static func epoch(of write: RecordsWrite) -> KeyEpoch? {
    write.encryption.flatMap { try? JWEEnvelope(.object($0)) }?.networkEntry?.scheme.epoch
  }

  public func relay(parsing plaintext: [UInt8]) throws(MeshError) -> RelayClaim {
    .numbered(try RelayRecord(parsing: plaintext))
  }

  public func payload(of relay: RelayRecord) -> any MeshPayload { relay }
}
