public import DWN
public import Wire

/// Encrypts and opens the data of one network's records. What stands at which path in clear is the cipher's to know; nobody else
/// looks into an envelope.
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
}
