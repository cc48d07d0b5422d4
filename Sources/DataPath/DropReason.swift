import Synchronization

/// Why a packet went no further. Each reason is counted by one thread.
public enum DropReason: Int, CaseIterable, Sendable {
  /// From the TUN: not an IP packet.
  case outboundMalformed
  /// From the TUN: no peer has the destination.
  case noPeer
  /// The peer has a session and no address.
  case noEndpoint
  /// The control side does not keep up with packets that wait for a session.
  case waitingQueueFull
  /// The kernel refused to send the datagram.
  case sendFailed

  /// Neither a handshake message nor a transport message.
  case foreignDatagram
  /// The control side does not keep up with handshake messages.
  case handshakeQueueFull
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
  /// The filter refused it.
  case filtered
  /// The TUN did not take it.
  case deliveryFailed
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
  func count(_ reason: DropReason) {
    let word = words + reason.rawValue
    word.pointee.store(word.pointee.load(ordering: .relaxed) &+ 1, ordering: .relaxed)
  }

  subscript(reason: DropReason) -> UInt64 { words[reason.rawValue].load(ordering: .relaxed) }
}
