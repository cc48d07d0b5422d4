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

  /// A member is told everything that makes up its view; the anchor, what the others write of themselves. Without heads nothing
  /// would show that something was missed, so networks without them are asked.
  static func all(isAnchor: Bool, envelope: Envelope = .jwe) -> [LiveTopic] {
    guard envelope == .jwe else { return [] }
    let own = FetchPlan.ownRecords(withMembers: true).map { LiveTopic.path($0) }
    if isAnchor { return own }
    return [.deliveries, .path(MeshProtocol.head), .path(MeshProtocol.network)] + FetchPlan.covered.map { .path($0) }
      + own
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
