import DWN
import Identity
import Wire

/// The network keys that were delivered to this device, and the record that brought the newest of them (`trust.md` section 6).
struct EpochKeyIntake: KeyIntake {
  let network: NetworkReference
  let identity: MachineIdentity
  private(set) var keyring: NetworkKeyring
  /// The newest delivery: its slot is (recipient, network).
  private(set) var held: (write: RecordsWrite, data: [UInt8], initial: RecordsWrite)?
  private(set) var lowestSeq: Int64?

  init(network: NetworkReference, identity: MachineIdentity) {
    self.network = network
    self.identity = identity
    self.keyring = NetworkKeyring(network, of: identity)
  }

  mutating func take(
    _ write: RecordsWrite, data: [UInt8], initial: RecordsWrite, into records: inout HeldRecords
  ) throws(Rejection) -> Bool {
    if let held {
      if held.write.signed.element == write.signed.element { return false }
      guard write.timestamp > held.write.timestamp else { throw Rejection(.olderThanSlot) }
    }
    let delivery: ContextKeyRecord
    do {
      delivery = try KeyDelivery.open(write, data: data, for: network, as: identity)
    } catch {
      throw Rejection(.keyUnusable(error.description))
    }
    _ = keyring.merge(delivery)
    lowestSeq = delivery.seq
    held = (write, data, initial)
    return true
  }

  var opening: any RecordCipher {
    JWERecordCipher(network: network, identity: identity, keyring: keyring, epoch: .first, definition: nil)
  }

  func sealing(
    epoch: KeyEpoch?, definition: MeshDefinition, records: HeldRecords
  ) -> (any RecordCipher)? {
    guard let epoch, haveKey(of: epoch) else { return nil }
    return JWERecordCipher(
      network: network, identity: identity, keyring: keyring, epoch: epoch, definition: definition)
  }

  var wereDelivered: Bool { held != nil }
  func haveKey(of epoch: KeyEpoch) -> Bool { keyring.key(of: epoch) != nil }
}
