import Cryptography
import DWN
import Identity
import Wire

/// The keys of a network with encryption v1: audience records say which key of a role is the current one, deliveries bring its
/// private half. Both are records like others, kept among them and ended by deletes (`mesh-protocol.md` sections 3.5 and 3.6).
struct AudienceKeyIntake: KeyIntake {
  let network: NetworkReference
  let identity: MachineIdentity
  private(set) var keyring: AudienceKeyring

  init(network: NetworkReference, identity: MachineIdentity) {
    self.network = network
    self.identity = identity
    self.keyring = AudienceKeyring(network: network.id)
  }

  mutating func take(
    _ write: RecordsWrite, data: [UInt8], initial: RecordsWrite, into records: inout HeldRecords
  ) throws(Rejection) -> Bool {
    guard write.path == EncryptionControl.delivery else {
      guard AudienceRecord(write, data: data) != nil else {
        throw Rejection(.keyUnusable("it is no audience record whose tags and data say the same"))
      }
      return try records.insert(write, data: data, initial: initial)
    }
    let delivery: DeliveryRecord
    do {
      delivery = try DeliveryRecord(opening: write, data: data, as: KeyTree(identity))
    } catch {
      throw Rejection(.keyUnusable(error.description))
    }
    let isNew = try records.insert(write, data: data, initial: initial)
    return keyring.add(delivery) || isNew
  }

  var opening: any RecordCipher { V1RecordCipher(network: network, identity: identity, keyring: keyring) }

  func sealing(
    epoch: KeyEpoch?, definition: MeshDefinition, records: HeldRecords
  ) -> (any RecordCipher)? {
    V1RecordCipher(
      network: network, identity: identity, keyring: keyring, audiences: records.currentAudiences(in: network),
      definition: definition)
  }

  var wereDelivered: Bool { !keyring.isEmpty }
  func haveKey(of epoch: KeyEpoch) -> Bool { true }
}

extension AudienceRecord {
  /// `nil` unless the record's tags and data name the same audience and key.
  init?(_ write: RecordsWrite, data: [UInt8]) {
    guard let (name, keyID) = EncryptionControl.audience(of: write), write.protocolURI == name.protocolURI,
      let record = try? AudienceRecord(parsing: data), record.name == name, record.keyID == keyID
    else { return nil }
    self = record
  }
}

extension HeldRecords {
  /// The live audience records of roles at the root of a network, the current one of each role first.
  func audiences(in network: NetworkReference) -> [ProtocolPath: [(write: RecordsWrite, record: AudienceRecord)]] {
    var found: [ProtocolPath: [(write: RecordsWrite, record: AudienceRecord)]] = [:]
    for (_, versions) in slots {
      guard let held = versions.last, held.write.path == EncryptionControl.audience,
        !isEnded(held.write.contextID), let record = AudienceRecord(held.write, data: held.data),
        record.name.contextID == network.id.contextID
      else { continue }
      found[record.name.rolePath, default: []].append((held.write, record))
    }
    return found.mapValues { records in
      records.sorted {
        AudiencePrecedence($0.write, tenant: network.anchor) < AudiencePrecedence($1.write, tenant: network.anchor)
      }
    }
  }

  func currentAudiences(in network: NetworkReference) -> [ProtocolPath: X25519PublicKey] {
    audiences(in: network).compactMapValues { $0.first?.record.publicKey }
  }
}
