import CLinux
import Synchronization
public import WireGuard

/// What the data thread keeps of one peer, across all tables that mention it.
///
/// The control side owns the object; tables hold it, so that the memory lives as long as the data thread may look at it.
public final class PeerMemory: @unchecked Sendable {
  // The pointer is written in `init` alone; what it points to is atomic or belongs to one thread, as `PeerWords` says.

  let words: UnsafeMutablePointer<PeerWords>
  public let id: PeerID

  public init(_ id: PeerID) {
    self.id = id
    words = .allocate(capacity: 1)
    words.initialize(to: PeerWords())
  }

  deinit {
    words.deinitialize(count: 1)
    words.deallocate()
  }

  /// What the peer's timers need to know; arms the events of the first data packet in each direction.
  public func observeTraffic() -> Traffic { words.pointee.traffic.observe() }

  /// Bytes of UDP payload with sealed packets that came from the peer and authenticated.
  public var receivedBytes: UInt64 { words.pointee.receivedBytes.load(ordering: .relaxed) }
  /// Bytes of UDP payload with sealed packets that went to the peer.
  public var sentBytes: UInt64 { words.pointee.sentBytes.load(ordering: .relaxed) }
  /// Packets that authenticated and had a lower counter than one before them: the network, or one of the ends, changed their order.
  public var receivedOutOfOrder: UInt64 { words.pointee.receivedOutOfOrder.load(ordering: .relaxed) }
  /// When the last packet of the peer authenticated.
  public var lastReceivedNanoseconds: UInt64 { words.pointee.lastReceived.load(ordering: .relaxed) }
  /// When the last one authenticated that came from the address where packets to the peer go: no relay vouches for that way.
  public var lastReceivedDirectlyNanoseconds: UInt64 { words.pointee.lastReceivedDirectly.load(ordering: .relaxed) }
}

struct PeerWords: ~Copyable {
  let traffic = TrafficWords()
  /// Written by the sending side.
  let sentBytes = Atomic<UInt64>(0)
  /// The sending side's own.
  var notices = NoticeRate()
  /// Written by the receiving side, like all that follow.
  let receivedBytes = Atomic<UInt64>(0)
  let receivedOutOfOrder = Atomic<UInt64>(0)
  let lastReceived = Atomic<UInt64>(0)
  let lastReceivedDirectly = Atomic<UInt64>(0)
  var sourceReports = SourceReports()
}

/// The keys, the counter and the replay window of one session, at a fixed place for as long as a table mentions it.
///
/// The keys are wiped when the last table that holds it is freed.
public final class SessionMemory: @unchecked Sendable {
  // The pointers are written in `init` alone; `sealing` is the sending side's, `opening` the receiving side's.

  public let session: Session
  let sealing: UnsafeMutablePointer<SealingKey>
  let opening: UnsafeMutablePointer<OpeningKey>

  public init(_ session: Session, keys: SessionKeys) {
    self.session = session
    sealing = .allocate(capacity: 1)
    sealing.initialize(to: SealingKey(session, key: keys.send))
    opening = .allocate(capacity: 1)
    opening.initialize(to: OpeningKey(session, key: keys.receive))
  }

  deinit {
    sealing.deinitialize(count: 1)
    sealing.deallocate()
    opening.deinitialize(count: 1)
    opening.deallocate()
  }
}
