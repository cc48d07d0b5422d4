import DWN
import Identity
import Mesh

/// What a control plane asks a node to tell of a network: one subscription each, since a role reads one path at a time.
enum LiveTopic: Hashable, Sendable {
  /// All records at one path of the network.
  case path(ProtocolPath)
  /// The keys that are delivered to this machine, in a network of such an envelope; no right is needed for what one receives.
  case deliveries(Envelope)

  /// The one that is opened first: where it is refused, the others are not asked for.
  static func first(isAnchor: Bool, envelope: Envelope = .jwe) -> LiveTopic {
    isAnchor ? .path(MeshProtocol.nodeInfo) : .deliveries(envelope)
  }

  /// A member is told everything that makes up its view; the anchor, what the others write of themselves. Of a new audience of encryption
  /// v1 a member learns by the key that is delivered to it.
  static func all(isAnchor: Bool, envelope: Envelope = .jwe) -> [LiveTopic] {
    let own = MeshProtocol.ownRecords.map { LiveTopic.path($0) }
    if isAnchor { return own }
    let signed = (envelope.hasHeads ? [MeshProtocol.head] : []) + [MeshProtocol.network] + FetchPlan.covered
    return [.deliveries(envelope)] + signed.map { .path($0) } + own
  }

  /// Under which a cursor is kept.
  var name: String {
    switch self {
    case .path(let path): path.text
    case .deliveries(.jwe): KeyDeliveryProtocol.contextKey.text
    case .deliveries(.v1): EncryptionControl.delivery.text
    }
  }

  /// Whether a member needs its role for it.
  var needsRole: Bool {
    switch self {
    case .path: true
    case .deliveries: false
    }
  }

  func filter(of network: NetworkReference, reader: DID) -> RecordsFilter {
    switch self {
    case .path(let path): RecordsFilter(protocolURI: MeshProtocol.uri, path: path, contextID: network.id.contextID)
    case .deliveries:
      .deliveries(of: network, to: reader)
    }
  }
}
