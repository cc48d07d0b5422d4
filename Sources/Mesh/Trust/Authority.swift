public import DWN
public import Identity

/// The one place that answers "may this DID write this path of this network?", from verified records alone (`trust.md` sections 1
/// and 2.7). No other code compares an author with the anchor, so that succession or several owners can be added here.
public struct Authority: Hashable, Sendable {
  public let anchor: DID
  /// Whether the owner, or who acts for it by a grant, may write what machines write of themselves (`trust.md` section 8).
  public let writesForMachines: Bool

  public init(anchor: DID, writesForMachines: Bool = false) {
    self.anchor = anchor
    self.writesForMachines = writesForMachines
  }

  public init(_ network: NetworkReference) {
    self.init(anchor: network.anchor, writesForMachines: network.envelope == .v1)
  }

  /// Who writes a path.
  public enum Writer: Hashable, Sendable {
    case owner
    /// The recipient of the parent node record.
    case recipientOfParent
    /// Nothing at this path is taken from anybody.
    case nobody
  }

  public static func writer(of path: ProtocolPath) -> Writer {
    switch path {
    case MeshProtocol.network, MeshProtocol.head, MeshProtocol.member, MeshProtocol.node, MeshProtocol.memberNode,
      MeshProtocol.aclPolicy, MeshProtocol.relay, MeshProtocol.preAuthKey:
      .owner
    case MeshProtocol.nodeInfo, MeshProtocol.endpoint, MeshProtocol.memberNodeInfo, MeshProtocol.memberEndpoint:
      .recipientOfParent
    default: .nobody
    }
  }

  /// `parentRecipient` is the recipient of the verified record above, where there is one.
  public func mayWrite(_ author: DID, path: ProtocolPath, parentRecipient: DID?) -> Bool {
    switch Authority.writer(of: path) {
    case .owner: isOwner(author)
    case .recipientOfParent: parentRecipient == author || (writesForMachines && isOwner(author))
    case .nobody: false
    }
  }

  /// Every record of a network may be ended by its owner, and by nobody else.
  public func mayEnd(_ author: DID) -> Bool { isOwner(author) }

  /// Definitions are those of the tenant.
  public func mayConfigure(_ author: DID) -> Bool { isOwner(author) }

  /// Network keys come from the owner.
  public func mayDeliverKeys(_ author: DID) -> Bool { isOwner(author) }

  public func isOwner(_ did: DID) -> Bool { did == anchor }
}
