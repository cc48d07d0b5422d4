import DWN
import Identity
import Mesh

/// What a control plane asks a node to tell of a network: one subscription each, since a role reads one path at a time.
enum LiveTopic: Hashable, Sendable {
  /// All records at one path of the network.
  case path(ProtocolPath)
  /// The keys that are delivered to this machine; no right is needed for what one receives.
  case deliveries

  /// The one that is opened first: where it is refused, the others are not asked for.
  static func first(isAnchor: Bool) -> LiveTopic { isAnchor ? .path(MeshProtocol.nodeInfo) : .deliveries }

  /// A member is told everything that makes up its view; the anchor, what the others write of themselves.
  static func all(isAnchor: Bool, envelope: Envelope = .jwe) -> [LiveTopic] {
    let own = FetchPlan.ownRecords(withMembers: true).map { LiveTopic.path($0) }
    if isAnchor { return own }
    let signed = (envelope.hasHeads ? [MeshProtocol.head] : []) + [MeshProtocol.network] + FetchPlan.covered
    return [.deliveries] + signed.map { .path($0) } + own
  }

  /// Whether it is the anchor's to write.
  var isAnchors: Bool {
    switch self {
    case .path(let path): !FetchPlan.ownRecords(withMembers: true).contains(path)
    case .deliveries: true
    }
  }

  /// Under which a cursor is kept.
  var name: String {
    switch self {
    case .path(let path): path.text
    case .deliveries: KeyDeliveryProtocol.contextKey.text
    }
  }

  /// Whether a member needs its role for it.
  var needsRole: Bool { self != .deliveries }

  func filter(of network: NetworkReference, reader: DID) -> RecordsFilter {
    switch self {
    case .path(let path): RecordsFilter(protocolURI: MeshProtocol.uri, path: path, contextID: network.id.contextID)
    case .deliveries:
      RecordsFilter(protocolURI: KeyDeliveryProtocol.uri, path: KeyDeliveryProtocol.contextKey, recipient: [reader])
    }
  }
}
