import Glibc
import Synchronization

/// Why a packet went no further, or an event was not told at once. Each reason but one is counted by one thread.
public enum DropReason: Int, CaseIterable, Sendable {
  /// From the TUN: not an IP packet.
  case outboundMalformed
  /// From the TUN: the kernel could not hand it over.
  case outboundUnreadable
  /// From the TUN: no peer has the destination.
  case noPeer
  /// The peer has a session and no address.
  case noEndpoint
  /// The control side does not keep up with packets that wait for a session.
  case waitingQueueFull
  /// The relay, or the way to it, does not keep up.
  case relayQueueFull
  /// The kernel refused to send the datagram: no route to it, or a firewall.
  case sendFailed
  /// The kernel has no room for more datagrams, or the socket did not become free in time.
  case sendQueueFull
  /// The datagram is longer than its path takes.
  case datagramTooLong
  /// The packet is longer than the way to its peer takes, and may not be cut. Its sender is told.
  case packetTooLong
  /// The control side does not keep up with what is noticed of packets that are sent. A later one tells it.
  case outboundEventQueueFull

  /// The kernel could not hand over what came, or says that something is wrong with the socket.
  case receivingFailed
  /// Not a message of WireGuard, disco or STUN.
  case foreignDatagram
  /// The control side does not keep up with handshake messages.
  case handshakeQueueFull
  /// The control side does not keep up with messages of disco and STUN.
  case probeQueueFull
  /// The control side does not keep up with what is noticed of packets that came. A later one tells it.
  case inboundEventQueueFull
  /// The path does not keep up with what comes over relays. Counted by those who bring it.
  case relayInletFull
  /// A transport message for a session that does not exist, or no longer.
  case noSession
  /// It was not sealed with the session's key.
  case notAuthentic
  /// Its counter was seen before.
  case replayed
  /// It came through the tunnel and is not an IP packet.
  case inboundMalformed
  /// Its source address belongs to another peer, or to nobody.
  case foreignSource
  /// Its destination is not an address of this machine.
  case foreignDestination
  /// It is for meshd itself, not for the system, and longer than anything that meshd knows.
  case noticeTooLong
  /// The filter refused it.
  case filtered
  /// The TUN did not take it.
  case deliveryFailed
  /// Somebody took the interface down.
  case interfaceDown

  /// Why sending failed with this error number.
  public static func sending(_ number: CInt) -> DropReason {
    switch number {
    case ENOBUFS, ENOMEM, EAGAIN: .sendQueueFull
    case EMSGSIZE: .datagramTooLong
    default: .sendFailed
    }
  }

  /// Why writing to the TUN failed with this error number.
  static func delivering(_ number: CInt) -> DropReason { number == EIO ? .interfaceDown : .deliveryFailed }
}

/// One word per reason. A word is written by one thread and read by any.
struct DropCounters: @unchecked Sendable {
  // The pointer is written once; the words are atomic.
  private let words: UnsafeMutablePointer<Atomic<UInt64>>

  init() {
    words = .allocate(capacity: DropReason.allCases.count)
    for index in 0..<DropReason.allCases.count { (words + index).initialize(to: Atomic(0)) }
  }

  func deallocate() {
    words.deinitialize(count: DropReason.allCases.count)
    words.deallocate()
  }

  /// A plain load and store: no other thread writes the word.
  @inline(__always)
  func count(_ reason: DropReason, _ packets: Int = 1) {
    let word = words + reason.rawValue
    word.pointee.store(
      word.pointee.load(ordering: .relaxed) &+ UInt64(truncatingIfNeeded: packets), ordering: .relaxed)
  }

  subscript(reason: DropReason) -> UInt64 { words[reason.rawValue].load(ordering: .relaxed) }
}
