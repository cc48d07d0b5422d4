import DWN
import Identity
import Wire

/// The network keys that were delivered to this device, and the record that brought the newest of them (`trust.md` section 6).
struct KeyIntake: Sendable {
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

  /// Returns `false` when it was already there.
  mutating func insert(_ write: RecordsWrite, data: [UInt8], initial: RecordsWrite) throws(Rejection) -> Bool {
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
}
