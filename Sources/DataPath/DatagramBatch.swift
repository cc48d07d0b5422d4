import CLinux
import Glibc

/// The memory in which received datagrams lie: a fixed number of equal slots, of which pages are used as they are touched.
struct PacketSlots {
  /// A whole train of datagrams, or the longest one.
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

/// The kernel's arrays for receiving many datagrams, or trains of them, on one socket at once; prepared once and used again.
struct DatagramBatch {
  let descriptor: CInt
  private let messages: UnsafeMutablePointer<clinux_message>
  private let parts: UnsafeMutablePointer<iovec>
  private let addresses: UnsafeMutablePointer<clinux_address>
  private let notes: UnsafeMutablePointer<clinux_train_note>
  private let slots: PacketSlots
  private let takesTrains: Bool
  /// Messages that the kernel has written to since they were prepared.
  private var used: Int

  init(descriptor: CInt, slots: PacketSlots, takesTrains: Bool) {
    self.descriptor = descriptor
    self.slots = slots
    self.takesTrains = takesTrains
    messages = .allocate(capacity: slots.count)
    messages.initialize(repeating: clinux_message(), count: slots.count)
    parts = .allocate(capacity: slots.count)
    parts.initialize(repeating: iovec(), count: slots.count)
    addresses = .allocate(capacity: slots.count)
    addresses.initialize(repeating: clinux_address(), count: slots.count)
    notes = .allocate(capacity: slots.count)
    notes.initialize(repeating: clinux_train_note(), count: slots.count)
    used = slots.count
  }

  func deallocate() {
    messages.deallocate()
    parts.deallocate()
    addresses.deallocate()
    notes.deallocate()
  }

  /// Fills the slots with what has arrived. How many messages; 0 when there was nothing, or an error, which is counted.
  mutating func receive(_ drops: DropCounters) -> Int {
    for index in 0..<used {
      clinux_message_set(
        messages, parts, index, slots[index], PacketSlots.size, addresses + index,
        socklen_t(MemoryLayout<clinux_address>.size))
      if takesTrains { clinux_message_expect_segments(messages, index, notes + index) }
    }
    let received = Int(clinux_receive(descriptor, messages, UInt32(truncatingIfNeeded: slots.count)))
    if received < 0, received != -Int(EAGAIN), received != -Int(EINTR) { drops.count(.receivingFailed) }
    used = max(0, received)
    return used
  }

  @inline(__always)
  func length(_ index: Int) -> Int { Int(messages[index].length) }

  /// The length of each datagram in the message but the last, which may be shorter.
  @inline(__always)
  func datagramLength(_ index: Int) -> Int {
    guard takesTrains else { return length(index) }
    let size = Int(clinux_message_segments(messages + index))
    return size > 0 ? size : length(index)
  }

  @inline(__always)
  func source(_ index: Int) -> UnsafePointer<clinux_address> { UnsafePointer(addresses + index) }
}
