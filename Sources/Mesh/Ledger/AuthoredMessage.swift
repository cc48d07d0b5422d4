public import DWN
public import Identity
public import Wire

/// A message that this device signed, complete, as it is published.
public struct AuthoredMessage: Hashable, Sendable {
  /// The order of signing, and so of publication.
  public let order: Int64
  /// The tenant to whose node it goes: the anchor of its network.
  public let tenant: DID
  /// `nil` for a definition, which is of all networks of its tenant.
  public let network: NetworkID?
  public let signed: SignedMessage
  public let data: [UInt8]?
  /// The message as a write, if it is one.
  public let write: RecordsWrite?

  init(order: Int64, tenant: DID, network: NetworkID?, signed: SignedMessage, data: [UInt8]?, write: RecordsWrite?) {
    self.order = order
    self.tenant = tenant
    self.network = network
    self.signed = signed
    self.data = data
    self.write = write
  }

  public var element: String { signed.element }
  public var stamp: WallTime { signed.message.timestamp }

  /// The record that a delete ends.
  public var endedRecord: RecordID? {
    guard signed.message.kind == .recordsDelete else { return nil }
    return signed.message.descriptor["recordId"]?.string.flatMap { RecordID($0) }
  }

  /// As a node would show it: for offering what was just signed to the own `MeshReader`.
  public var entry: ReplyEntry { ReplyEntry(message: signed.message.value, data: data) }

  /// Whether a head covers it: heads may then be published only after it.
  public var isCovered: Bool {
    switch signed.message.kind {
    case .recordsDelete: true
    case .protocolsConfigure: true
    default: write.map { $0.protocolURI == MeshProtocol.uri && LiveSet.covers($0.path) } ?? false
    }
  }

  /// Whether a network goes on without it: a write of the live set, but for the one that the network began with.
  public var canBeWithdrawn: Bool {
    guard network != nil, let write, !isDelivery, LiveSet.covers(write.path) else { return false }
    return !(write.path == MeshProtocol.network && write.isInitial)
  }

  var isHead: Bool { write?.path == MeshProtocol.head }
  /// Whether it gives a machine its keys.
  public var isDelivery: Bool { write?.deliversMeshKeys ?? false }
}

/// What one decision of a `Ledger` signed, in order of publication, and what makes it durable.
///
/// The ledger that made it already counts it. So: change a copy, commit `store`, and only then let the copy take the place of the
/// ledger, offer `entries` to the own reader, and publish.
public struct LedgerChange: Sendable {
  public internal(set) var messages: [AuthoredMessage] = []
  public internal(set) var store = StoreChange()

  /// Nothing was decided.
  public init() {}

  public var isEmpty: Bool { messages.isEmpty && store.isEmpty }
  /// For the own reader: with `FetchExtent.partial`.
  public var entries: [ReplyEntry] { messages.map(\.entry) }
}
