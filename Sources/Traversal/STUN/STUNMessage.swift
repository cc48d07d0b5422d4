import Wire

/// The frame of every STUN message (RFC 5389 §6 and §15).
///
/// | offset | size | field |
/// |---|---|---|
/// | 0 | 2 | type: class and method, the first two bits zero |
/// | 2 | 2 | length of what follows the header, a multiple of 4 |
/// | 4 | 4 | magic cookie `2112A442` |
/// | 8 | 12 | transaction id |
/// | 20 | … | attributes: type (2), length (2), value, padding to a multiple of 4 |
///
/// Everything is big-endian.
public struct STUNMessage: Hashable, Sendable {
  static let headerSize = 20
  static let cookie: UInt32 = 0x2112_a442
  static let bindingRequest: UInt16 = 0x0001
  static let bindingSuccess: UInt16 = 0x0101
  static let bindingError: UInt16 = 0x0111

  enum AttributeType {
    static let mappedAddress: UInt16 = 0x0001
    static let errorCode: UInt16 = 0x0009
    static let unknownAttributes: UInt16 = 0x000a
    static let xorMappedAddress: UInt16 = 0x0020
    /// What some servers sent before a number had been assigned.
    static let earlyXORMappedAddress: UInt16 = 0x8020
    static let software: UInt16 = 0x8022
    static let fingerprint: UInt16 = 0x8028
    /// Attributes below this must be understood by whoever answers (§15).
    static let firstOptional: UInt16 = 0x8000
  }

  struct Attribute: Hashable, Sendable {
    var type: UInt16
    var value: [UInt8]
    /// Where it begins in the message.
    var offset: Int
  }

  /// Why bytes are no such message.
  public enum Invalid: Error, Hashable {
    case notSTUN
    case truncated
    /// A response of another kind, without an address, or one that answers nothing.
    case unexpected
    case fingerprint
  }

  let type: UInt16
  let transactionID: TransactionID
  let attributes: [Attribute]

  /// Whether a datagram is taken for STUN: enough to tell it from WireGuard and disco on one socket, and no more.
  public static func looksLike(_ datagram: some Collection<UInt8>) -> Bool {
    guard datagram.count >= headerSize, let first = datagram.first, first & 0xc0 == 0 else { return false }
    return datagram.dropFirst(4).prefix(4).elementsEqual([0x21, 0x12, 0xa4, 0x42])
  }

  /// Of a message whose rest may be anything. `nil`: it is taken for none.
  static func transactionID(of datagram: [UInt8]) -> TransactionID? {
    looksLike(datagram) ? TransactionID(datagram[8..<headerSize]) : nil
  }

  /// Whether a message is all of the datagram, and its length one that attributes have (§6, §15). Servers of others are not measured
  /// by it.
  static func fills(_ datagram: [UInt8]) -> Bool {
    guard datagram.count >= headerSize else { return false }
    return datagram.count % 4 == 0 && datagram.count - headerSize == Int(datagram[2]) << 8 | Int(datagram[3])
  }

  /// Reads the header and all attributes. What lies behind the header's length is not part of the message.
  init(parsing datagram: [UInt8]) throws(Invalid) {
    guard let id = Self.transactionID(of: datagram) else { throw .notSTUN }
    transactionID = id
    do throws(ByteReader.Truncated) {
      var header = ByteReader(datagram)
      type = try header.bigEndian()
      let length = Int(try header.bigEndian(UInt16.self))
      try header.skip(Self.headerSize - 4)
      var reader = ByteReader(try header.bytes(length))
      var attributes: [Attribute] = []
      while !reader.isAtEnd {
        let offset = Self.headerSize + length - reader.remaining
        let type: UInt16 = try reader.bigEndian()
        let size = Int(try reader.bigEndian(UInt16.self))
        let value = try reader.bytes(size)
        // Padding behind the last one is left out by some.
        try reader.skip(min((4 - size % 4) % 4, reader.remaining))
        attributes.append(Attribute(type: type, value: value, offset: offset))
      }
      self.attributes = attributes
    } catch {
      throw .truncated
    }
  }

  /// A message with these attributes, in this order.
  static func bytes(
    _ type: UInt16, _ id: TransactionID, _ attributes: [(type: UInt16, value: [UInt8])], fingerprint: Bool = false
  ) -> [UInt8] {
    var body = ByteWriter()
    for (type, value) in attributes {
      body.bigEndian(type)
      body.bigEndian(UInt16(value.count))
      body.append(value)
      body.append(repeatElement(0, count: (4 - value.count % 4) % 4))
    }
    var writer = ByteWriter()
    writer.bigEndian(type)
    // The length counts the fingerprint already when the checksum is taken (§15.5).
    writer.bigEndian(UInt16(body.bytes.count + (fingerprint ? 8 : 0)))
    writer.bigEndian(cookie)
    writer.append(id.bytes)
    writer.append(body.bytes)
    if fingerprint {
      let checksum = CRC32.checksum(writer.bytes) ^ fingerprintMask
      writer.bigEndian(AttributeType.fingerprint)
      writer.bigEndian(UInt16(4))
      writer.bigEndian(checksum)
    }
    return writer.bytes
  }

  /// Whether the message ends with a fingerprint that is right, `nil` without one. Throws if one is anywhere else.
  static func hasValidFingerprint(_ message: STUNMessage, in datagram: [UInt8]) throws(Invalid) -> Bool? {
    guard let index = message.attributes.firstIndex(where: { $0.type == AttributeType.fingerprint }) else { return nil }
    let attribute = message.attributes[index]
    guard index == message.attributes.count - 1, attribute.value.count == 4 else { throw .fingerprint }
    let stated = attribute.value.reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
    return CRC32.checksum(datagram[..<attribute.offset]) ^ fingerprintMask == stated
  }

  private static let fingerprintMask: UInt32 = 0x5354_554e
}
