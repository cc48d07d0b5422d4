import CLinux
public import Wire
public import WireGuard

/// Everything that decides where a packet goes, at one moment: peers with their keys and addresses, sessions by index, allowed
/// IPs, the machine's own addresses, the filter.
///
/// Immutable. The control side makes another one for every change and publishes it; a million packets read it in between. It keeps
/// alive whatever its pointers lead to. Two that follow one another share what is the same in both.
public final class ForwardingTable: @unchecked Sendable {
  // The pointers in `view` are written in `init` alone and freed in `deinit`.

  /// A peer as the table's maker describes it.
  public struct Peer {
    public var memory: PeerMemory
    /// The session to seal with; without one packets for the peer go to the control side.
    public var sealing: SessionMemory?
    /// All sessions under which its packets are opened, the sealing one among them.
    public var opening: [SessionMemory]
    /// Where sealed packets go.
    public var endpoint: SocketAddress?
    /// Whether they go to the control side too, for a relay: besides the endpoint, or instead of it.
    public var viaRelay: Bool
    /// The longest packet that the way there takes, before it is sealed; `nil`: whatever the interface gives. What is longer is cut, or
    /// its sender told of `innerLimit`.
    public var innerLimit: Int?

    public init(
      memory: PeerMemory, sealing: SessionMemory? = nil, opening: [SessionMemory] = [],
      endpoint: SocketAddress? = nil, viaRelay: Bool = false, innerLimit: Int? = nil
    ) {
      self.memory = memory
      self.sealing = sealing
      self.opening = opening
      self.endpoint = endpoint
      self.viaRelay = viaRelay
      self.innerLimit = innerLimit
    }
  }

  /// What concerns all peers together.
  public struct Policy {
    public var allowedIPs: AllowedIPsTable
    public var ownAddresses: [IPAddress]
    public var filter: PacketFilter

    public init(allowedIPs: AllowedIPsTable, ownAddresses: [IPAddress], filter: PacketFilter) {
      self.allowedIPs = allowedIPs
      self.ownAddresses = ownAddresses
      self.filter = filter
    }
  }

  let view: UnsafeMutablePointer<ForwardingView>
  private let peers: NumberMap
  private let sessions: NumberMap
  private let policy: Policy

  public convenience init(peers: [Peer], policy: Policy) {
    self.init(
      peers: NumberMap(peers.map { ($0.memory.id.number, PeerRoute($0)) }),
      sessions: NumberMap(peers.flatMap(\.opening).map { ($0.session.localIndex, $0) }), policy: policy)
  }

  private init(peers: NumberMap, sessions: NumberMap, policy: Policy) {
    self.peers = peers
    self.sessions = sessions
    self.policy = policy
    view = .allocate(capacity: 1)
    view.initialize(
      to: ForwardingView(
        peers: peers.makeView(), sessions: sessions.makeView(), allowedIPs: policy.allowedIPs.view,
        own4: UnsafeBufferPointer(
          copying: policy.ownAddresses.filter { $0.family == .v4 }.map { UInt32(truncatingIfNeeded: $0.value) }),
        own6: UnsafeBufferPointer(copying: policy.ownAddresses.filter { $0.family == .v6 }.map(\.value)),
        filter: policy.filter.view))
  }

  deinit {
    view.pointee.peers.deallocate()
    view.pointee.sessions.deallocate()
    view.pointee.own4.deallocate()
    view.pointee.own6.deallocate()
    view.deinitialize(count: 1)
    view.deallocate()
  }

  /// The same, but for some peers, of which those without a description are gone, and the policy if there is another one.
  public func changed(_ changes: [PeerID: Peer?], policy: Policy? = nil) -> ForwardingTable {
    var peers = peers
    var sessions = sessions
    let former = changes.keys.compactMap { peers[$0.number] as? PeerRoute }
    peers.change(
      removing: changes.filter { $0.value == nil }.map(\.key.number),
      adding: changes.compactMap { id, peer in peer.map { (id.number, PeerRoute($0)) } })
    sessions.change(
      removing: former.flatMap(\.opening).map(\.session.localIndex),
      adding: changes.values.flatMap { $0?.opening ?? [] }.map { ($0.session.localIndex, $0) })
    return ForwardingTable(peers: peers, sessions: sessions, policy: policy ?? self.policy)
  }

  /// Nobody to talk to, and nothing let in.
  public static var empty: ForwardingTable {
    ForwardingTable(
      peers: [], policy: Policy(allowedIPs: AllowedIPs().table(), ownAddresses: [], filter: .denyAll))
  }
}

/// A peer at a fixed place, as some tables have it.
private final class PeerRoute: NumberMapEntry {
  let opening: [SessionMemory]
  private let entry: UnsafeMutablePointer<ForwardingView.PeerEntry>
  // What the entry's pointers lead to.
  private let memory: PeerMemory
  private let sealing: SessionMemory?

  var place: UnsafeMutableRawPointer { UnsafeMutableRawPointer(entry) }

  init(_ peer: ForwardingTable.Peer) {
    opening = peer.opening
    memory = peer.memory
    sealing = peer.sealing
    entry = .allocate(capacity: 1)
    entry.initialize(
      to: ForwardingView.PeerEntry(
        id: peer.memory.id, words: peer.memory.words, sealing: peer.sealing?.sealing,
        viaRelay: peer.viaRelay, innerLimit: max(peer.innerLimit ?? .max, TooLongNotice.least4),
        address: peer.endpoint.map { clinux_address($0) } ?? clinux_address()))
  }

  deinit { entry.deallocate() }
}

extension SessionMemory: NumberMapEntry {
  var place: UnsafeMutableRawPointer { UnsafeMutableRawPointer(opening) }
}

/// Plain pointers into a `ForwardingTable`, which must outlive them.
struct ForwardingView {
  struct PeerEntry {
    let id: PeerID
    let words: UnsafeMutablePointer<PeerWords>
    let sealing: UnsafeMutablePointer<SealingKey>?
    let viaRelay: Bool
    /// Nothing longer is sealed.
    let innerLimit: Int
    /// Without a family there is none.
    let address: clinux_address

    /// Where the address lies in an entry.
    @inline(__always)
    static func address(of entry: UnsafePointer<PeerEntry>) -> UnsafePointer<clinux_address> {
      let offset = MemoryLayout<PeerEntry>.offset(of: \.address).unsafelyUnwrapped
      return (UnsafeRawPointer(entry) + offset).assumingMemoryBound(to: clinux_address.self)
    }
  }

  /// Set when the table is published; an old one may be freed once the data thread has acknowledged a later one.
  var generation: UInt64 = 0
  /// `PeerEntry`s by a `PeerID`'s number.
  let peers: NumberMapView
  /// `OpeningKey`s by the receiver index of a message.
  let sessions: NumberMapView
  let allowedIPs: AllowedIPsView
  let own4: UnsafeBufferPointer<UInt32>
  let own6: UnsafeBufferPointer<UInt128>
  let filter: PacketFilterView

  @inline(__always)
  func peer(number: UInt32) -> UnsafePointer<PeerEntry>? {
    peers[number].map { UnsafePointer($0.assumingMemoryBound(to: PeerEntry.self)) }
  }

  @inline(__always)
  func session(index: UInt32) -> UnsafeMutablePointer<OpeningKey>? {
    sessions[index].map { $0.assumingMemoryBound(to: OpeningKey.self) }
  }

  @inline(__always)
  func owner(of address: UInt128, isIPv4: Bool) -> UInt32 {
    isIPv4 ? allowedIPs.owner(v4: UInt32(truncatingIfNeeded: address)) : allowedIPs.owner(v6: address)
  }

  @inline(__always)
  func isOwn(_ address: UInt128, isIPv4: Bool) -> Bool {
    if isIPv4 {
      for own in own4 where own == UInt32(truncatingIfNeeded: address) { return true }
    } else {
      for own in own6 where own == address { return true }
    }
    return false
  }
}
