import Cryptography
import DWN
import Identity
import Mesh
import TestSupport
import Testing
import Wire

/// A network made here, with an anchor, a machine and a stranger; every run is the same for one seed.
struct SampleNetwork {
  let random: SeededRandom
  let anchor: MachineIdentity
  let machine: MachineIdentity
  let stranger: MachineIdentity
  let reference: NetworkReference
  let definition: MeshDefinition

  init(seed: UInt64 = 7) {
    random = SeededRandom(seed)
    anchor = MachineIdentity.generate(random: random)
    machine = MachineIdentity.generate(random: random)
    stranger = MachineIdentity.generate(random: random)
    definition = MeshDefinition.mesh(of: anchor)
    let network = MessageSigner(anchor).recordsWrite(
      RecordDraft(
        protocolURI: MeshProtocol.uri, path: MeshProtocol.network,
        schema: MeshProtocol.schema(of: MeshProtocol.network),
        data: []), at: Self.time)
    reference = NetworkReference(id: NetworkID(network.recordID), anchor: anchor.did)
  }

  static let time = WallTime(seconds: 1_800_000_000)

  static func epoch(_ number: Int64) throws -> KeyEpoch { try #require(KeyEpoch(number)) }

  var anchorKeyring: NetworkKeyring { NetworkKeyring(reference, of: anchor) }

  func cipher(
    of identity: MachineIdentity, keyring: NetworkKeyring? = nil, epoch: KeyEpoch = .first,
    definition: MeshDefinition? = nil
  ) -> JWERecordCipher {
    JWERecordCipher(
      network: reference, identity: identity, keyring: keyring ?? NetworkKeyring(reference, of: identity), epoch: epoch,
      definition: definition ?? self.definition)
  }

  /// The machine's keyring after a delivery of these epochs.
  func machineKeyring(_ epoch: KeyEpoch, earlier: [KeyEpoch] = []) throws -> NetworkKeyring {
    var keyring = NetworkKeyring(reference, of: machine)
    _ = keyring.merge(try delivery(epoch, earlier: earlier))
    return keyring
  }

  func delivery(_ epoch: KeyEpoch, earlier: [KeyEpoch] = [], seq: Int64 = 2) throws -> ContextKeyRecord {
    try #require(
      ContextKeyRecord(network: reference, keyring: anchorKeyring, epoch: epoch, earlier: earlier, seq: seq))
  }

  /// A signed record of this network with such data.
  func write(_ sealed: SealedData, at path: ProtocolPath, by author: MachineIdentity? = nil) throws -> RecordsWrite {
    var parent = reference.id.contextID
    for segment in 0..<max(0, path.depth - 2) {
      parent = ContextID(parent, try #require(RecordID("bafyparent\(segment)")))
    }
    return MessageSigner(author ?? anchor).recordsWrite(
      RecordDraft(
        protocolURI: MeshProtocol.uri, path: path, parent: path.depth == 1 ? nil : parent,
        schema: MeshProtocol.schema(of: path), encryption: sealed.encryption, data: sealed.data), at: Self.time)
  }

  /// `plaintext` sealed as given and signed.
  func write(
    _ plaintext: [UInt8], to recipients: [EnvelopeRecipient], at path: ProtocolPath
  ) throws -> (write: RecordsWrite, data: [UInt8]) {
    let (envelope, ciphertext) = try JWEEnvelope.seal(plaintext, to: recipients, random: random)
    return (try write(SealedData(data: ciphertext, encryption: envelope.json), at: path), ciphertext)
  }
}
