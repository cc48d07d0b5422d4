import Cryptography
public import DWN
public import Wire

/// Encrypts and opens the data of one network's records. What stands at which path in clear is the cipher's to know; nobody else
/// looks into an envelope. How a relay is told of differs with the envelope too.
public protocol RecordCipher: Sendable {
  /// What has to be written so that the readers of this path can read `plaintext`: the data, and the envelope where the path has
  /// one.
  ///
  /// Throws `cannotEncrypt` when a key is missing.
  func seal(_ plaintext: [UInt8], at path: ProtocolPath, random: any RandomSource) throws(MeshError) -> SealedData

  /// The plaintext of a verified record together with its data. Throws `unreadable`; `MeshError.missingEpoch` tells whether a
  /// delivery would help.
  func open(_ write: RecordsWrite, data: [UInt8]) throws(MeshError) -> [UInt8]

  /// Whether everybody who may read this record now has a key for it. If not, its author writes it anew.
  func isCurrent(_ write: RecordsWrite) -> Bool

  /// What the opened data of a relay's record claims. Throws `malformed`.
  func relay(parsing plaintext: [UInt8]) throws(MeshError) -> RelayClaim

  /// What is written of a relay. Throws `unwritable` for one that a record here cannot tell of.
  func payload(of relay: RelayRecord) throws(MeshError) -> any MeshPayload
}

/// The data of a record as it is written, and the `encryption` member that goes with it.
public struct SealedData: Hashable, Sendable {
  public let data: [UInt8]
  /// `nil`: the data is in clear.
  public let encryption: JSONValue?

  public init(data: [UInt8], encryption: JSONValue?) {
    self.data = data
    self.encryption = encryption
  }

  /// Throws `cannotEncrypt` with the reason why there is no envelope.
  init(
    at path: ProtocolPath, _ seal: () throws(EnvelopeError) -> (envelope: JSONValue, ciphertext: [UInt8])
  ) throws(MeshError) {
    do {
      let (envelope, ciphertext) = try seal()
      self.init(data: ciphertext, encryption: envelope)
    } catch {
      throw .cannotEncrypt(path: path, reason: error.description)
    }
  }
}

// MARK: What the ciphers have in common

extension MeshProtocol {
  /// Whether what is written at a path is sealed. Throws `cannotEncrypt` where the mesh protocol has no such path.
  static func isSealed(at path: ProtocolPath) throws(MeshError) -> Bool {
    guard let secrecy = secrecy(of: path) else {
      throw .cannotEncrypt(path: path, reason: "the mesh protocol has no such path")
    }
    return secrecy != .clear
  }
}

extension MeshDefinition? {
  /// The anchor's key for a path. Throws `cannotEncrypt` if there is none, or the definition is for another envelope.
  func typeKey(at path: ProtocolPath, in envelope: Envelope) throws(MeshError) -> X25519PublicKey {
    guard let self, self.envelope == envelope, let key = self.typeKeys[path] else {
      throw .cannotEncrypt(path: path, reason: "the anchor's definition gives no key for it")
    }
    return key
  }
}

extension NetworkReference {
  /// The envelope of a record of this network; `nil` where it is in clear, and is to be. Throws `unreadable`.
  func encryption(of write: RecordsWrite) throws(MeshError) -> JSONObject? {
    let path = write.path
    guard write.protocolURI == MeshProtocol.uri, let secrecy = MeshProtocol.secrecy(of: path),
      write.contextID.root == id.recordID
    else { throw .unreadable(path: path, reason: .elsewhere) }
    guard (write.encryption == nil) == (secrecy == .clear) else {
      throw .unreadable(path: path, reason: secrecy == .clear ? .encrypted : .inClear)
    }
    return write.encryption
  }
}
