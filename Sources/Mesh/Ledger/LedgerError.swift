public import DWN
public import Identity

/// Why a ledger did not do what was asked. Nothing was signed.
public enum LedgerError: Error, Hashable, Sendable, CustomStringConvertible {
  /// What was stored is not what a ledger wrote.
  case corrupt(reason: String)
  /// Somebody else signs with this identity's key: nothing is written any more, for good, since nobody can tell which of the two
  /// is right.
  case foreignWriter(RecordID?)
  case unknownNetwork(NetworkID)
  case unusableDID(DID)
  /// Another DID of the network gives the same WireGuard key.
  case keyTaken(DID, by: DID)
  case notAMember(DID)
  /// This identity's definition is that of another envelope, in which a network of its own is.
  case otherEnvelope(Envelope)
  /// With encryption v1: the machine's own definition, which says to which key its keys are encrypted, was not found.
  case definitionMissing(DID)
  /// The key that a write needs has not arrived.
  case noKey
  case unknownRelay(UInt16)
  /// A relay at the same host and port has this id.
  case relayThere(UInt16)
  /// The mesh has as many relays as it may have.
  case relayLimit
  case mesh(MeshError)

  public var description: String {
    switch self {
    case .corrupt(let reason):
      "the ledger in mesh.sqlite cannot be read: \(reason). Restore the state directory from a backup"
    case .foreignWriter(let record):
      "something signed with this identity was found that this ledger does not know"
        + (record.map { " (record \($0))" } ?? "")
        + ": a second machine or an older copy of the state directory writes too. Nothing is written for this identity's networks "
        + "any more, and no command lifts that: end the other one, and create the network anew in another profile "
        + "('meshd init --profile NAME')"
    case .unknownNetwork(let id): "this machine is not the anchor of the network \(id)"
    case .unusableDID(let did): "\(did) gives no WireGuard key: a peer needs the DID that `meshd init` printed there"
    case .keyTaken(let did, let other): "\(did) has the same WireGuard key as the peer \(other): remove that peer first"
    case .notAMember(let did): "\(did) is not a peer of this network: 'meshd peer list' shows those it has"
    case .otherEnvelope(let envelope):
      "this identity is the anchor of a network with the envelope \(envelope.rawValue), and one identity's networks share theirs: "
        + "use another profile ('meshd init --profile NAME')"
    case .definitionMissing(let did):
      "\(did) has not installed the mesh protocol at the network's node yet, which says how to encrypt to it: it is delivered to "
        + "when 'meshd up' ran there"
    case .noKey: "the network's key has not arrived yet: the anchor delivers it with `meshd peer approve`"
    case .unknownRelay(let id): "the network has no relay with the id \(id): 'meshd relay list' shows those it has"
    case .relayThere(let id):
      "the relay \(id) of this network is there already: remove it first with 'meshd relay remove \(id)'"
    case .relayLimit: "the network has \(Ledger.relayLimit) relays already, and may not have more: remove one first"
    case .mesh(let error): error.description
    }
  }
}
