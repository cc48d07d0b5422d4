public import Wire

/// "Which address do you see me at?" (RFC 5389 §3), as the client asks it.
public enum STUNRequest {
  /// 40 bytes. The software's name and the fingerprint are what relays of the family that this program belongs to insist on.
  public static func bytes(_ id: TransactionID) -> [UInt8] {
    STUNMessage.bytes(
      STUNMessage.bindingRequest, id, [(STUNMessage.AttributeType.software, Array("tailnode".utf8))], fingerprint: true)
  }
}

/// The answer: the address that the server saw.
public struct STUNResponse: Hashable, Sendable {
  public let transactionID: TransactionID
  /// IPv4 also when the server wrote it as a mapped IPv6 address.
  public let address: SocketAddress

  /// Reads a success response to a binding request. XOR-MAPPED-ADDRESS counts before MAPPED-ADDRESS, which some routers rewrite.
  ///
  /// Throws if it is none, has no address, or has any attribute that is malformed.
  public init(parsing datagram: [UInt8]) throws(STUNMessage.Invalid) {
    let message = try STUNMessage(parsing: datagram)
    guard message.type == STUNMessage.bindingSuccess else { throw .unexpected }
    var mapped: SocketAddress?
    var plain: SocketAddress?
    for attribute in message.attributes {
      switch attribute.type {
      case STUNMessage.AttributeType.xorMappedAddress, STUNMessage.AttributeType.earlyXORMappedAddress:
        if mapped == nil { mapped = try Self.address(attribute.value, key: message.transactionID) }
      case STUNMessage.AttributeType.mappedAddress:
        if plain == nil { plain = try Self.address(attribute.value, key: nil) }
      default: break
      }
    }
    guard let address = mapped ?? plain, address.port > 0, !address.ip.isUnspecified else { throw .unexpected }
    transactionID = message.transactionID
    self.address = address
  }

  /// The response to a request from an address.
  public static func bytes(_ id: TransactionID, to source: SocketAddress) -> [UInt8] {
    let address = source.ip.unmapped
    var writer = ByteWriter()
    writer.append(byte: 0)
    writer.append(byte: address.family == .v4 ? 1 : 2)
    writer.bigEndian(source.port ^ UInt16(STUNMessage.cookie >> 16))
    writer.append(zip(address.bytes, mask(id)).map { $0 ^ $1 })
    return STUNMessage.bytes(
      STUNMessage.bindingSuccess, id, [(STUNMessage.AttributeType.xorMappedAddress, writer.bytes)])
  }

  /// Reserved (1), family (1: IPv4, 2: IPv6), port (2), address (4 or 16); combined with cookie and transaction id if there is a key.
  private static func address(
    _ value: [UInt8], key: TransactionID?
  ) throws(STUNMessage.Invalid) -> SocketAddress {
    guard value.count >= 8, let size = [1: 4, 2: 16][value[1]], value.count >= 4 + size else { throw .truncated }
    let port = UInt16(value[2]) << 8 | UInt16(value[3])
    let bytes = value[4..<(4 + size)]
    guard let key else {
      guard let ip = IPAddress(bytes: bytes) else { throw .truncated }
      return SocketAddress(ip.unmapped, port: port)
    }
    guard let ip = IPAddress(bytes: zip(bytes, mask(key)).map { $0 ^ $1 }) else { throw .truncated }
    return SocketAddress(ip.unmapped, port: port ^ UInt16(STUNMessage.cookie >> 16))
  }

  private static func mask(_ id: TransactionID) -> [UInt8] { [0x21, 0x12, 0xa4, 0x42] + id.bytes }
}
