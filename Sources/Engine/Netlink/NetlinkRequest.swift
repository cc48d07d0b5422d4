import CMnl
import Glibc
import Wire

/// One rtnetlink message, built in memory of its own: the header, a fixed structure of the family, then attributes.
struct NetlinkRequest: ~Copyable {
  /// More than any message here takes; `libmnl` does not check for room.
  private static let capacity = 4096

  private let memory: UnsafeMutableRawPointer
  private let header: UnsafeMutablePointer<nlmsghdr>

  /// - Parameters:
  ///   - type: `RTM_NEWADDR` and its like.
  ///   - flags: `NLM_F_CREATE` and its like; a request that is acknowledged is one anyway.
  ///   - fixed: `ifaddrmsg` and its like.
  init<Fixed: BitwiseCopyable>(_ type: Int, flags: CInt, _ fixed: Fixed) {
    memory = .allocate(byteCount: NetlinkRequest.capacity, alignment: 8)
    memory.initializeMemory(as: UInt8.self, repeating: 0, count: NetlinkRequest.capacity)
    header = mnl_nlmsg_put_header(memory)
    header.pointee.nlmsg_type = UInt16(truncatingIfNeeded: type)
    header.pointee.nlmsg_flags = UInt16(truncatingIfNeeded: NLM_F_REQUEST | flags)
    mnl_nlmsg_put_extra_header(header, MemoryLayout<Fixed>.size)
      .storeBytes(of: fixed, as: Fixed.self)
  }

  deinit { memory.deallocate() }

  mutating func put(_ type: Int, _ value: UInt8) { mnl_attr_put_u8(header, UInt16(type), value) }

  mutating func put(_ type: Int, _ value: UInt32) { mnl_attr_put_u32(header, UInt16(type), value) }

  mutating func put(_ type: Int, _ address: IPAddress) {
    let bytes = address.bytes
    mnl_attr_put(header, UInt16(type), bytes.count, bytes)
  }

  /// Attributes within an attribute.
  mutating func nest(_ type: Int, _ body: (inout NetlinkRequest) -> Void) {
    let start = mnl_attr_nest_start(header, UInt16(type))
    body(&self)
    mnl_attr_nest_end(header, start)
  }

  /// The number by which the kernel's answer is known.
  var sequence: UInt32 {
    get { header.pointee.nlmsg_seq }
    set { header.pointee.nlmsg_seq = newValue }
  }

  mutating func ask(for flags: CInt) { header.pointee.nlmsg_flags |= UInt16(truncatingIfNeeded: flags) }

  var bytes: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: memory, count: Int(header.pointee.nlmsg_len))
  }
}

/// The attributes of a message from the kernel, by type. A later one of the same type wins.
struct NetlinkAttributes {
  private var values: [Int: UnsafeRawBufferPointer] = [:]

  /// Valid as long as the memory is. Stops at the first attribute that does not fit.
  init(_ bytes: UnsafeRawBufferPointer) {
    var offset = 0
    while bytes.count - offset >= 4 {
      let length = Int(bytes.loadUnaligned(fromByteOffset: offset, as: UInt16.self))
      guard length >= 4, length <= bytes.count - offset else { return }
      // The two highest bits say how the value is encoded.
      let type = Int(bytes.loadUnaligned(fromByteOffset: offset + 2, as: UInt16.self) & 0x3fff)
      values[type] = UnsafeRawBufferPointer(rebasing: bytes[(offset + 4)..<(offset + length)])
      offset += (length + 3) & ~3
    }
  }

  func uint32(_ type: Int) -> UInt32? {
    guard let value = values[type], value.count >= 4 else { return nil }
    return value.loadUnaligned(as: UInt32.self)
  }

  func address(_ type: Int) -> IPAddress? {
    guard let value = values[type] else { return nil }
    return IPAddress(bytes: value)
  }

  /// Up to the first zero byte.
  func string(_ type: Int) -> String? {
    values[type].map { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
  }

  func nested(_ type: Int) -> NetlinkAttributes? { values[type].map(NetlinkAttributes.init) }
}
