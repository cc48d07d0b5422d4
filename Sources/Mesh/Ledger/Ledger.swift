public import Cryptography
public import DWN
public import Identity
import Wire

/// Everything this device has signed, for all networks: the anchor's memory of its own decisions, and the outbox of everybody
/// (`trust.md` section 1).
///
/// It does no I/O. An anchor reads members, policy and epoch from here and never from a node. Each function that signs returns
/// one `LedgerChange`, which is one transaction; the order of its messages is the order of publication. What a device that is no
/// anchor signs, its nodeInfo and endpoint, goes through the same list with the same rising stamps.
public struct Ledger: Sendable {
  public let identity: MachineIdentity
  var log: AuthorLog
  var owned: [NetworkID: OwnedNetwork] = [:]
  /// Messages with this identity's signature that it does not know. While there is one, nothing of an own network is signed.
  public internal(set) var foreign: [StoredMessage]

  /// An empty ledger, or the one that was stored. Throws `corrupt`.
  public init(identity: MachineIdentity, stored: StoredMesh = StoredMesh()) throws(LedgerError) {
    self.identity = identity
    self.log = try AuthorLog(identity, stored: stored.authored)
    self.foreign = stored.foreign
    try rebuild()
    for (network, verified) in stored.networks { owned[network]?.recall(from: verified.messages) }
  }

  /// The networks that this device is the anchor of, oldest first.
  public var networks: [NetworkReference] {
    owned.values.sorted { ($0.created, $0.id) < ($1.created, $1.id) }.map {
      $0.reference
    }
  }

  public func isAnchor(of network: NetworkID) -> Bool { owned[network] != nil }

  /// The newest head that was signed for a network, `nil` before the first.
  public func head(of network: NetworkID) -> HeadRecord? { owned[network]?.head?.record }

  /// The network's record as it was written last.
  public func record(of network: NetworkID) -> NetworkRecord? { owned[network]?.record }

  /// The live node records of a network, expired ones too, oldest first.
  public func nodes(of network: NetworkID) -> [LedgerNode] { owned[network]?.nodes ?? [] }

  /// All messages that a node should have, in order of publication: what was replaced, or never was in force, is left out.
  public var outgoing: [AuthoredMessage] {
    var newest: [Place: Int64] = [:]
    for message in log.messages {
      if let place = Place(message) { newest[place] = message.order }
    }
    let lastHeads = Dictionary(grouping: log.messages.filter(\.isHead), by: \.network).flatMap {
      $0.value.suffix(Self.keptHeads)
    }
    let heads = Set(lastHeads.map(\.order))
    return log.messages.filter { message in
      if message.isHead { return heads.contains(message.order) }
      guard let place = Place(message) else { return true }
      return newest[place] == message.order || (message.write?.isInitial == true && !place.isShared)
    }
  }

  /// Everything that is in force for an own network, and every delete, as a node shows it: for the own reader at start.
  public func entries(of network: NetworkID) -> [ReplyEntry] {
    guard let owned = owned[network] else { return [] }
    return outgoing.compactMap { message in
      guard message.network == nil || message.network == network else { return nil }
      guard let write = message.write else { return message.entry }
      if message.isDelivery || owned.records.isEnded(write.contextID) { return nil }
      if message.isHead { return write.timestamp == owned.head?.stamp ? message.entry : nil }
      guard owned.records.newest(SlotKey(write))?.write == write else { return nil }
      var entry = message.entry
      if !write.isInitial { entry.initialWrite = owned.records.initials[write.recordID]?.message.value }
      return entry
    }
  }

  /// What this device signed last at a path below a node record.
  public func newest(at path: ProtocolPath, below parent: ContextID) -> AuthoredMessage? {
    log.messages.last { $0.write?.path == path && $0.write?.contextID.parent == parent }
  }

  /// Whether this device signed the message.
  public func holds(_ element: String) -> Bool { log.elements.contains(element) }

  /// Whether a delete of this ledger ends the record or one above it.
  public func hasEnded(_ context: ContextID) -> Bool {
    owned[NetworkID(context.root)]?.records.isEnded(context)
      ?? owned.values.contains { $0.records.isEnded(context) }
  }

  /// Heads that are published. A removal signs two, and the first of them is worth sending.
  static let keptHeads = 3

  /// What replaces what when it is published.
  private enum Place: Hashable {
    case slot(SlotKey)
    case delivery(RecordID)
    case definition(String)

    init?(_ message: AuthoredMessage) {
      if let uri = message.signed.message.descriptor["definition"]?["protocol"]?.string {
        self = .definition(uri)
      } else if let write = message.write {
        self = message.isDelivery ? .delivery(write.recordID) : .slot(SlotKey(write))
      } else {
        return nil
      }
    }

    /// Whether other records than the one that came first can stand here.
    var isShared: Bool {
      if case .slot(.place) = self { true } else { false }
    }
  }
}

/// A machine of an own network, as the ledger knows it.
public struct LedgerNode: Hashable, Sendable {
  public var did: DID
  /// Follows from the DID.
  public var key: X25519PublicKey?
  public var recordID: RecordID
  public var contextID: ContextID
  public var record: NodeRecord
  /// Whether the keys that it needs now were delivered to it. The anchor needs no delivery.
  public var hasKeys: Bool
}
