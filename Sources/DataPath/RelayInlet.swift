import Synchronization
import WireGuard

/// Where transport messages that came over a relay enter the packet path: the thread that receives opens and delivers them like those
/// from its sockets, but for their source, which says nothing of where the peer is.
///
/// Any thread may put messages in. What the path does not keep up with is refused and counted, so that nothing grows old in between.
public final class RelayInlet: Sendable {
  /// The longest message that a relay carries.
  public static let longestMessage = 65_536

  private let ring: PacketRing
  private let producer: Mutex<PacketRing.Producer>
  private let wake: EventCounter
  private let refused = Atomic<UInt64>(0)

  init(_ ring: PacketRing, wake: EventCounter) {
    self.ring = ring
    producer = Mutex(ring.producer)
    self.wake = wake
  }

  /// Copies one sealed message and wakes the path. `false`: it is no transport message, or the queue is full.
  public func put(_ sealed: UnsafeRawBufferPointer) -> Bool {
    guard let base = sealed.baseAddress, sealed.count <= RelayInlet.longestMessage,
      TransportMessage.isTransport(base, count: sealed.count)
    else { return false }
    let (isTaken, mustWake) = producer.withLock {
      $0.push(kind: RecordKind.open, payload: sealed) ? (true, $0.mustWake()) : (false, false)
    }
    if !isTaken { refused.wrappingAdd(1, ordering: .relaxed) }
    if mustWake { wake.signal() }
    return isTaken
  }

  /// How many messages found the queue full.
  var refusals: UInt64 { refused.load(ordering: .relaxed) }
}
