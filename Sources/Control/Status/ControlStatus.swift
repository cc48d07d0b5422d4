public import Cryptography
public import DWN
public import Identity
public import Mesh
public import Wire

/// A control plane at one moment: what `status` and `peer list` show of a network.
public struct ControlStatus: Hashable, Sendable {
  /// The accepted head: which state of the mesh is in force, and since when.
  public struct Head: Hashable, Sendable {
    public var sequence: Int64
    public var epoch: Int64
    /// When the anchor signed it, and when this machine took it for true.
    public var signedAt: WallTime
    public var acceptedAt: WallTime

    public init(sequence: Int64, epoch: Int64, signedAt: WallTime, acceptedAt: WallTime) {
      self.sequence = sequence
      self.epoch = epoch
      self.signedAt = signedAt
      self.acceptedAt = acceptedAt
    }
  }

  /// A node that holds the network's records, under one of its names.
  public struct Endpoint: Hashable, Sendable {
    /// Why a node does not do what it is asked.
    public struct Trouble: Hashable, Sendable {
      public var reason: String
      public var since: WallTime

      public init(reason: String, since: WallTime) {
        self.reason = reason
        self.since = since
      }
    }

    public var name: String
    /// Messages of this machine that it has not taken.
    public var lacking: Int
    public var trouble: Trouble?

    public init(name: String, lacking: Int, trouble: Trouble? = nil) {
      self.name = name
      self.lacking = lacking
      self.trouble = trouble
    }
  }

  /// A message that some node showed and that does not count.
  public struct Refused: Hashable, Sendable {
    public var recordID: String
    public var path: String
    public var author: String
    public var reason: String
    /// How often it was shown.
    public var count: Int

    public init(recordID: String, path: String, author: String, reason: String, count: Int) {
      self.recordID = recordID
      self.path = path
      self.author = author
      self.reason = reason
      self.count = count
    }
  }

  /// A machine of the mesh, this one or another.
  public struct Node: Hashable, Sendable {
    public var did: DID
    /// What the mesh calls it.
    public var name: String
    /// The anchor's name for it.
    public var label: String?
    public var meshIP: IPAddress
    public var meshIPv6: IPAddress
    /// `nil` if the machine owns itself.
    public var ownerDID: DID?
    public var nodeRecordID: RecordID
    /// Of the member below which the node stands, if it does.
    public var memberRecordID: RecordID?
    public var expiresAt: WallTime?
    /// By which the netmap and the engine know it.
    public var wireGuardKey: X25519PublicKey
    /// When it last wrote where it can be reached.
    public var lastSeen: WallTime?

    public init(
      did: DID, name: String, label: String?, meshIP: IPAddress, meshIPv6: IPAddress, ownerDID: DID? = nil,
      nodeRecordID: RecordID, memberRecordID: RecordID? = nil, expiresAt: WallTime? = nil,
      wireGuardKey: X25519PublicKey, lastSeen: WallTime? = nil
    ) {
      self.did = did
      self.name = name
      self.label = label
      self.meshIP = meshIP
      self.meshIPv6 = meshIPv6
      self.ownerDID = ownerDID
      self.nodeRecordID = nodeRecordID
      self.memberRecordID = memberRecordID
      self.expiresAt = expiresAt
      self.wireGuardKey = wireGuardKey
      self.lastSeen = lastSeen
    }
  }

  /// How fetching goes.
  public struct Snapshot: Hashable, Sendable {
    public enum State: String, Hashable, Sendable {
      /// No endpoint has answered yet, and none has failed either.
      case starting
      case healthy
      /// The last attempt failed, or what is shown does not match its head.
      case degraded
    }

    /// Rises with every netmap.
    public var generation: UInt64 = 0
    /// When an endpoint was last asked with success.
    public var refreshedAt: WallTime?
    public var lastAttemptAt: WallTime?
    public var lastError: String?
    public var consecutiveFailures = 0
    public var state: State = .starting
    /// Whether changes are told as they happen; else they are asked for.
    public var isFollowing = false

    public init() {}
  }

  public var network: NetworkReference
  public var did: DID
  /// How this machine stands to the network.
  public var membership: Membership
  /// `nil` until the network record was read.
  public var networkName: String?
  public var meshCIDR: IPPrefix?
  /// `nil` unless this machine is a live node of the network and its record can be read.
  public var myself: Node?
  /// The others, sorted by mesh address.
  public var peers: [Node] = []
  public var head: Head?
  /// Whether machines that cannot reach each other directly have a relay; `nil` while that is not known.
  public var hasRelay: Bool?
  public var refused: [Refused] = []
  /// The nodes that are asked and written to.
  public var endpoints: [Endpoint] = []
  /// What is waited for, in sentences for people; empty when everything is in place.
  public var pending: [String] = []
  /// What a person should know beside that: a policy that is not evaluated, silence of the anchor.
  public var notes: [String] = []
  public var snapshot = Snapshot()

  public init(network: NetworkReference, did: DID, membership: Membership) {
    self.network = network
    self.did = did
    self.membership = membership
  }
}
