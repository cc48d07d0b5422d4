import DWN
import Identity

/// The keys of one network that reach this device in records of the anchor, and what they make of a record: the part of reading that
/// differs with the envelope.
protocol KeyIntake: Sendable {
  /// Takes a verified record that carries keys. It is kept here or among the records. Returns `false` when it was already there.
  mutating func take(
    _ write: RecordsWrite, data: [UInt8], initial: RecordsWrite, into records: inout HeldRecords
  ) throws(Rejection) -> Bool

  /// Opens what the keys open.
  var opening: any RecordCipher { get }

  /// Encrypts what this device writes. `epoch` is the highest of any verified head. `nil` while a key for it is missing.
  func sealing(
    epoch: KeyEpoch?, definition: MeshDefinition, records: HeldRecords
  ) -> (any RecordCipher)?

  /// Whether somebody handed this device keys of the network.
  var wereDelivered: Bool { get }
  /// Whether a key of this epoch is here.
  func haveKey(of epoch: KeyEpoch) -> Bool
  /// The lowest head that may be accepted, as the keys that admitted this device say.
  var lowestSeq: Int64? { get }
  /// A message that is kept here and not among the records.
  var held: (write: RecordsWrite, data: [UInt8], initial: RecordsWrite)? { get }
}

extension KeyIntake {
  var lowestSeq: Int64? { nil }
  var held: (write: RecordsWrite, data: [UInt8], initial: RecordsWrite)? { nil }
}

extension NetworkReference {
  /// What reads the keys of this network, for somebody.
  func keyIntake(_ identity: MachineIdentity) -> any KeyIntake {
    switch envelope {
    case .jwe: EpochKeyIntake(network: self, identity: identity)
    case .v1: AudienceKeyIntake(network: self, identity: identity)
    }
  }
}
