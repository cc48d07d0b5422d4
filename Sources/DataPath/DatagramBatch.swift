import CLinux
import Glibc

/// The memory in which packets of one direction lie: a fixed number of equal slots, of which pages are used as they are touched.
struct PacketSlots {
  /// More than any IP packet with WireGuard's header, padding and tag.
  static let size = 65_536 + 64

  let base: UnsafeMutableRawPointer
  let count: Int

  init(count: Int) {
    self.count = count
    base = .allocate(byteCount: count * PacketSlots.size, alignment: 64)
  }

  func deallocate() { base.deallocate() }

  @inline(__always)
  subscript(index: Int) -> UnsafeMutableRawPointer { base + index &* PacketSlots.size }
}

/// The kernel's arrays for a batch of datagrams on one socket, prepared once and used again.
struct DatagramBatch {
  let descriptor: CInt
  private let messages: UnsafeMutablePointer<clinux_message>
  private let parts: UnsafeMutablePointer<iovec>
  private let addresses: UnsafeMutablePointer<clinux_address>
  private let capacity: Int
  private(set) var count = 0
  private var sent = 0

  init(descriptor: CInt, capacity: Int) {
    self.descriptor = descriptor
    self.capacity = capacity
    messages = .allocate(capacity: capacity)
    messages.initialize(repeating: clinux_message(), count: capacity)
    parts = .allocate(capacity: capacity)
    parts.initialize(repeating: iovec(), count: capacity)
    addresses = .allocate(capacity: capacity)
    addresses.initialize(repeating: clinux_address(), count: capacity)
  }

  func deallocate() {
    messages.deallocate()
    parts.deallocate()
    addresses.deallocate()
  }

  // MARK: Sending

  /// Adds a datagram that lies still until the batch is flushed.
  mutating func add(_ datagram: UnsafeMutableRawPointer, length: Int, to address: clinux_address) {
    addresses[count] = address
    clinux_message_set(messages, parts, count, datagram, length, addresses + count, address.length)
    count &+= 1
  }

  /// Hands the datagrams to the kernel, going on after those that it refuses. `false`: it is full, and the rest waits.
  mutating func flush(_ drops: DropCounters) -> Bool {
    while sent < count {
      let taken = clinux_send(descriptor, messages + sent, UInt32(truncatingIfNeeded: count &- sent))
      if taken > 0 {
        sent &+= Int(taken)
      } else if taken == -EAGAIN {
        return false
      } else if taken != -EINTR {
        // The first of them is at fault: no route to it, refused by a firewall, too long.
        drops.count(.sendFailed)
        sent &+= 1
      }
    }
    sent = 0
    count = 0
    return true
  }

  // MARK: Receiving

  /// Fills the slots with what has arrived, at most one datagram each. How many; 0 when there was nothing.
  mutating func receive(into slots: PacketSlots) -> Int {
    for index in 0..<capacity {
      clinux_message_set(
        messages, parts, index, slots[index], PacketSlots.size, addresses + index,
        socklen_t(MemoryLayout<clinux_address>.size))
    }
    return max(0, Int(clinux_receive(descriptor, messages, UInt32(truncatingIfNeeded: capacity))))
  }

  @inline(__always)
  func length(_ index: Int) -> Int { Int(messages[index].length) }

  @inline(__always)
  func source(_ index: Int) -> UnsafePointer<clinux_address> { UnsafePointer(addresses + index) }
}
