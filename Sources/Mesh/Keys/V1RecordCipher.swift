public import Cryptography
public import DWN
public import Identity
public import Wire

/// The records of a network with encryption v1 (`mesh-protocol.md` sections 3.3 to 3.7).
///
/// A record has an entry for the anchor's key of its path, and one for the current key of every role that may read it there. The
/// anchor opens the first, everybody else one of the others. There is no tag in this envelope, so a record is opened only after its
/// data and its envelope were compared with what was signed.
public struct V1RecordCipher: RecordCipher {
  public let network: NetworkReference
  public var keyring: AudienceKeyring
  /// The current public key of each role in this network. Only writing needs it.
  public var audiences: [ProtocolPath: X25519PublicKey]
  /// The anchor's verified mesh definition: its keys, and who reads what. Only writing needs it.
  public var definition: MeshDefinition?
  private let anchorKeys: KeyTree?

  /// `identity` is who reads and writes.
  public init(
    network: NetworkReference, identity: MachineIdentity, keyring: AudienceKeyring,
    audiences: [ProtocolPath: X25519PublicKey] = [:], definition: MeshDefinition? = nil
  ) {
    self.network = network
    self.keyring = keyring
    self.audiences = audiences
    self.definition = definition
    self.anchorKeys = identity.did == network.anchor ? KeyTree(identity) : nil
  }

  public func seal(
    _ plaintext: [UInt8], at path: ProtocolPath, random: any RandomSource
  ) throws(MeshError) -> SealedData {
    guard try MeshProtocol.isSealed(at: path) else { return SealedData(data: plaintext, encryption: nil) }
    var recipients = [V1Envelope.Recipient(try definition.typeKey(at: path, in: .v1), .protocolPath)]
    for role in definition?.readingRoles[path] ?? [] {
      guard let key = audiences[role] else {
        throw .cannotEncrypt(path: path, reason: "the key of those with the role \(role), who read it, is not known")
      }
      recipients.append(.init(key, .roleAudience(protocolURI: MeshProtocol.uri, rolePath: role)))
    }
    return try SealedData(at: path) { () throws(EnvelopeError) in
      let (envelope, ciphertext) = try V1Envelope.seal(plaintext, to: recipients, random: random)
      return (envelope.json, ciphertext)
    }
  }

  public func open(_ write: RecordsWrite, data: [UInt8]) throws(MeshError) -> [UInt8] {
    let path = write.path
    guard try network.encryption(of: write) != nil else { return data }
    do throws(EnvelopeError) {
      let record = try V1SealedRecord(write, data: data)
      if let anchorKeys {
        return try record.open(with: anchorKeys.typeKey(protocolURI: MeshProtocol.uri, path: path), as: .protocolPath)
      }
      for entry in record.envelope.entries {
        guard case .roleAudience(MeshProtocol.uri, let role) = entry.scheme,
          let key = keyring.key(entry.keyID, of: role)
        else { continue }
        return try record.open(with: key, as: entry.scheme)
      }
      throw .missingAudienceKey
    } catch {
      throw .unreadable(path: path, reason: .envelope(error))
    }
  }

  /// Whether it names the current key of every role that may read it there: if not, whoever joined since cannot read it.
  public func isCurrent(_ write: RecordsWrite) -> Bool {
    guard let encryption = write.encryption, let envelope = try? V1Envelope(.object(encryption)) else { return true }
    let named = Set(envelope.entries.map(\.keyID))
    return (definition?.readingRoles[write.path] ?? []).allSatisfy { role in
      audiences[role].map { named.contains(PublicJWK.x25519($0).thumbprint) } ?? true
    }
  }

  public func relay(parsing plaintext: [UInt8]) throws(MeshError) -> RelayClaim {
    .placed(try RelayNameRecord(parsing: plaintext))
  }

  public func payload(of relay: RelayRecord) throws(MeshError) -> any MeshPayload { try RelayNameRecord(relay.plan) }
}
