import CLinux

/// The Internet checksum (RFC 1071): the sum of 16-bit words in ones' complement, gathered in 64 bits and folded at the end.
///
/// The sum does not depend on the byte order as long as words are read and stored in the same one, so nothing is swapped. A part that
/// is followed by another must have an even length.
struct InternetChecksum {
  private var sum: UInt64

  @inline(__always)
  init(_ initial: UInt64 = 0) { sum = initial }

  /// Adds a number of up to 32 bits as it lies in memory.
  @inline(__always)
  mutating func add(_ word: UInt32) { sum &+= UInt64(word) }

  /// Adds a number as the network writes it.
  @inline(__always)
  mutating func add(number: Int) { sum &+= UInt64(UInt16(truncatingIfNeeded: number).bigEndian) }

  /// Adds bytes; at most 2³¹ of them fit into one sum.
  @inline(__always)
  mutating func add(_ bytes: UnsafeRawPointer, count: Int) {
    var offset = 0
    // A call is worth it from here on: payloads, not headers.
    if count >= 64 {
      offset = count & ~3
      sum = sum &+ clinux_sum_words(bytes, offset)
    }
    while offset &+ 4 <= count {
      sum = sum &+ UInt64(bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
      offset = offset &+ 4
    }
    if offset &+ 2 <= count {
      sum = sum &+ UInt64(bytes.loadUnaligned(fromByteOffset: offset, as: UInt16.self))
      offset = offset &+ 2
    }
    // The missing second byte of the last word is zero.
    if offset < count {
      sum = sum &+ UInt64(UInt16(littleEndian: UInt16(bytes.load(fromByteOffset: offset, as: UInt8.self))))
    }
  }

  /// Adds what TCP and UDP sum up beside their own bytes: addresses, protocol and length.
  @inline(__always)
  mutating func addPseudoHeader(of packet: UnsafeRawPointer, isIPv4: Bool, protocol number: UInt8, length: Int) {
    if isIPv4 { add(packet + 12, count: 8) } else { add(packet + 8, count: 32) }
    add(number: Int(number))
    add(number: length)
  }

  /// The 16 bits, as they lie in memory. A checksum field holds their complement.
  @inline(__always)
  var folded: UInt16 {
    var value = (sum & 0xffff_ffff) &+ (sum &>> 32)
    value = (value & 0xffff) &+ (value &>> 16)
    value = (value & 0xffff) &+ (value &>> 16)
    value = (value & 0xffff) &+ (value &>> 16)
    return UInt16(truncatingIfNeeded: value)
  }

  /// What goes into the field. Zero, which would mean "none" in UDP, is written as its other form.
  @inline(__always)
  var field: UInt16 {
    let value = ~folded
    return value == 0 ? 0xffff : value
  }
}
