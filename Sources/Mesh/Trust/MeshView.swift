public import Cryptography
public import DWN
public import Identity
public import Wire

/// A network as its accepted state shows it: everything in it was signed by who may say it, is covered by the anchor's head if the
/// network has heads, and can be used. What a seen delete or an expiry took away is no longer in it.
public struct MeshView: Hashable, Sendable {
  /// The head that was accepted, and since when.
  public struct Head: Hashable, Sendable {
    public var seq: Int64
    public var epoch: KeyEpoch
    /// `messageTimestamp` of the head.
    public var stamp: WallTime
    /// By this device's clock.
    public var acceptedAt: WallTime
  }

  /// A machine of the mesh.
  public struct Node: Hashable, Sendable {
    public var did: DID
    /// Follows from the DID; unique in a view.
    public var key: X25519PublicKey
    /// Unique in a view: the label, the hostname where there is no label and nobody has that name, else one made of the address.
    public var name: String
    public var recordID: RecordID
    /// Of the node record: its nodeInfo and endpoint stand below.
    public var contextID: ContextID
    /// `network/node` or `network/member/node`.
    public var path: ProtocolPath
    public var record: NodeRecord
    /// `nil`: none was shown, or none that can be read.
    public var info: NodeInfoRecord?
    public var endpoint: EndpointRecord?
    /// `messageTimestamp` of the endpoint record.
    public var endpointStamp: WallTime?
    /// The newest of the stamps of its three records: changes whenever one of them does.
    public var newestStamp: WallTime

    /// IPv4 from the record, IPv6 from the DID.
    public var meshIP: IPAddress { record.meshIP }
    public var meshIPv6: IPAddress { AddressPlan.ipv6(for: did) }
  }

  /// What the accepted state says about who may reach whom.
  public enum Policy: Hashable, Sendable {
    case accepted(ACLPolicy)
    /// The anchor's set has none.
    case missing
    /// It is there and does not parse, or cannot be opened with the key that it names.
    case unusable(String)
  }

  /// A record that counts and from which nothing follows.
  public struct Unused: Hashable, Sendable {
    public var recordID: RecordID
    public var path: ProtocolPath
    public var reason: String
  }

  public var network: NetworkReference
  /// `nil` in a network without heads (`trust.md` section 9).
  public var head: Head?
  /// `nil` when the anchor's network record does not parse.
  public var record: NetworkRecord?
  /// Sorted by key, with this device among them.
  public var nodes: [Node]
  /// By member DID.
  public var members: [DID: MemberRecord]
  public var policy: Policy
  /// Sorted by id; ids are unique.
  public var relays: [RelayRecord]
  public var unused: [Unused]
  /// The DID of the device whose view this is.
  public var did: DID
  /// When the next node expires, and the view has to be asked for again.
  public var nextExpiry: WallTime?

  /// This device, when it is a machine of the mesh.
  public var own: Node? { nodes.first { $0.did == did } }
}

/// How this device stands to the network.
public enum Membership: Hashable, Sendable {
  /// No state was accepted yet.
  case waitingForHead
  /// In a network without heads: no node has shown its records yet.
  case waitingForRecords
  /// It has no key of the network.
  case waitingForKey
  /// The accepted state has no usable node record for it.
  case notAMember
  case member
  /// The delete of its node record was seen, or a head without it.
  case removed
  /// The time of its node record has passed.
  case expired
}
