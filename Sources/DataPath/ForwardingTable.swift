import CLinux
public import Wire
public import WireGuard

/// Everything that decides where a packet goes, at one moment: peers with their keys and addresses, sessions by index, allowed
/// IPs, the machine's own addresses, the filter.
///
/// Immutable. The control side builds one for every change and publishes it; a million packets read it in between. It keeps
/// alive whatever its pointers lead to.
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

    public init(
      memory: PeerMemory, sealing: SessionMemory? = nil, opening: [SessionMemory] = [], endpoint: SocketAddress? = nil
    ) {
      self.memory = memory
      self.sealing = sealing
      self.opening = opening
      self.endpoint = endpoint
    }
  }

  let view: UnsafeMutablePointer<ForwardingView>
  private let peers: [Peer]
  private let allowedIPs: AllowedIPsTable
  private let filter: PacketFilter

  public init(peers: [Peer], allowedIPs: AllowedIPsTable, ownAddresses: [IPAddress], filter: PacketFilter) {
    self.peers = peers
    self.allowedIPs = allowedIPs
    self.filter = filter
    let sessions = peers.enumerated().flatMap { index, peer in
      peer.opening.map { ForwardingView.SessionEntry(opening: $0.opening, peer: UInt32(index)) }
    }
    view = .allocate(capacity: 1)
    view.initialize(
      to: ForwardingView(
        peers: UnsafeBufferPointer(
          copying: peers.map { peer in
            ForwardingView.PeerEntry(
              id: peer.memory.id, words: peer.memory.words, sealing: peer.sealing?.sealing,
              address: peer.endpoint.map { clinux_address($0) } ?? clinux_address())
          }),
        peerNumbers: NumberMap(peers.enumerated().map { ($1.memory.id.number, UInt32($0)) }),
        sessions: UnsafeBufferPointer(copying: sessions),
        sessionIndices: NumberMap(
          peers.flatMap { $0.opening }.enumerated().map { ($1.session.localIndex, UInt32($0)) }),
        allowedIPs: allowedIPs.view,
        own4: UnsafeBufferPointer(
          copying: ownAddresses.filter { $0.family == .v4 }.map { UInt32(truncatingIfNeeded: $0.value) }),
        own6: UnsafeBufferPointer(copying: ownAddresses.filter { $0.family == .v6 }.map(\.value)),
        filter: filter.view))
  }

  deinit {
    view.pointee.peers.deallocate()
    view.pointee.peerNumbers.deallocate()
    view.pointee.sessions.deallocate()
    view.pointee.sessionIndices.deallocate()
    view.pointee.own4.deallocate()
    view.pointee.own6.deallocate()
    view.deinitialize(count: 1)
    view.deallocate()
  }

  /// Nobody to talk to, and nothing let in.
  public static var empty: ForwardingTable {
    ForwardingTable(peers: [], allowedIPs: AllowedIPs().table(), ownAddresses: [], filter: .denyAll)
  }
}

/// Plain pointers into a `ForwardingTable`, which must outlive them.
struct ForwardingView {
  struct PeerEntry {
    let id: PeerID
    let words: UnsafeMutablePointer<PeerWords>
    let sealing: UnsafeMutablePointer<SealingKey>?
    /// Without a family there is none.
    let address: clinux_address

    /// Where the address lies in an entry.
    @inline(__always)
    static func address(of entry: UnsafePointer<PeerEntry>) -> UnsafePointer<clinux_address> {
      let offset = MemoryLayout<PeerEntry>.offset(of: \.address).unsafelyUnwrapped
      return (UnsafeRawPointer(entry) + offset).assumingMemoryBound(to: clinux_address.self)
    }
  }

  struct SessionEntry {
    let opening: UnsafeMutablePointer<OpeningKey>
    /// Position in `peers`.
    let peer: UInt32
  }

  /// Set when the table is published; an old one may be freed once the data thread has acknowledged a later one.
  var generation: UInt64 = 0
  let peers: UnsafeBufferPointer<PeerEntry>
  /// From a `PeerID`'s number to a position in `peers`.
  let peerNumbers: NumberMap
  let sessions: UnsafeBufferPointer<SessionEntry>
  /// From the receiver index of a message to a position in `sessions`.
  let sessionIndices: NumberMap
  let allowedIPs: AllowedIPsView
  let own4: UnsafeBufferPointer<UInt32>
  let own6: UnsafeBufferPointer<UInt128>
  let filter: PacketFilterView

  @inline(__always)
  func peer(number: UInt32) -> UnsafePointer<PeerEntry>? {
    guard let position = peerNumbers[number] else { return nil }
    return peers.baseAddress.unsafelyUnwrapped + Int(position)
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

/// An immutable map from numbers to positions, in one piece of memory: open addressing at a load of at most one half.
struct NumberMap {
  private static let vacant = UInt32.max

  private let slots: UnsafeMutablePointer<(number: UInt32, position: UInt32)>
  private let mask: UInt32

  /// The numbers are unique; later ones of the same number are not found.
  init(_ pairs: [(number: UInt32, position: UInt32)]) {
    var capacity = 2
    while capacity < pairs.count * 2 { capacity *= 2 }
    mask = UInt32(capacity - 1)
    slots = .allocate(capacity: capacity)
    slots.initialize(repeating: (0, NumberMap.vacant), count: capacity)
    for pair in pairs {
      var slot = NumberMap.scatter(pair.number) & mask
      while slots[Int(slot)].position != NumberMap.vacant { slot = (slot &+ 1) & mask }
      slots[Int(slot)] = pair
    }
  }

  func deallocate() { slots.deallocate() }

  @inline(__always)
  subscript(number: UInt32) -> UInt32? {
    var slot = NumberMap.scatter(number) & mask
    while true {
      let entry = slots[Int(slot)]
      if entry.position == NumberMap.vacant { return nil }
      if entry.number == number { return entry.position }
      slot = (slot &+ 1) & mask
    }
  }

  /// Peers are numbered in a row, so the bits have to be spread before the low ones are taken.
  @inline(__always)
  private static func scatter(_ number: UInt32) -> UInt32 {
    let product = number &* 0x9e37_79b1
    return product ^ (product &>> 15)
  }
}
