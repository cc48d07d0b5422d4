import Wire

/// The messages of the Port Control Protocol (RFC 6887) that are used, UDP to port 5351 of the gateway. Everything is big-endian.
///
/// | offset | size | request | response |
/// |---|---|---|---|
/// | 0 | 1 | version 2 | the same |
/// | 1 | 1 | opcode: 0 ANNOUNCE, 1 MAP | + 128 |
/// | 2 | 2 | 0 | 0, result |
/// | 4 | 4 | lifetime in seconds | granted lifetime |
/// | 8 | 16 | this machine's address | epoch (4), 0 (12) |
/// | 24 | 12 | MAP: nonce | the same |
/// | 36 | 4 | protocol, 0 (3) | the same |
/// | 40 | 4 | internal port, wanted external port | internal port, external port |
/// | 44 | 16 | wanted external address | external address |
///
/// Addresses are IPv6, IPv4 ones mapped into it.
enum PCP {
  static func announce(from host: IPAddress) -> [UInt8] { header(opcode: 0, lifetime: 0, host).bytes }

  /// A lifetime of 0 takes the mapping of the same nonce back.
  static func mapRequest(
    _ port: PortMapping.Port, wanting external: UInt16, lifetime: UInt32, nonce: [UInt8], from host: IPAddress
  ) -> [UInt8] {
    precondition(nonce.count == 12, "a nonce has 12 bytes")
    var writer = header(opcode: 1, lifetime: lifetime, host)
    writer.append(nonce)
    writer.append([port.transport.rawValue, 0, 0, 0])
    writer.bigEndian(port.number)
    writer.bigEndian(lifetime == 0 ? 0 : external)
    writer.append(mapped(IPAddress(v4: 0)))
    return writer.bytes
  }

  enum Response: Hashable {
    case announced(epoch: UInt32)
    case mapped(
      PortMapping.Port, nonce: [UInt8], external: SocketAddress, lifetime: UInt32, epoch: UInt32)
    /// RFC 6887 §7.4: 2 not authorised, 8 out of resources, 12 address mismatch, among others.
    case refused(opcode: UInt8, result: UInt8)

    /// `nil`: it is none.
    init?(_ bytes: [UInt8]) {
      var reader = ByteReader(bytes)
      do throws(ByteReader.Truncated) {
        guard try reader.uint8() == 2 else { return nil }
        let opcode = try reader.uint8()
        try reader.skip(1)
        let result = try reader.uint8()
        guard opcode & 0x80 != 0 else { return nil }
        let lifetime: UInt32 = try reader.bigEndian()
        let epoch: UInt32 = try reader.bigEndian()
        try reader.skip(12)
        guard result == 0 else {
          self = .refused(opcode: opcode & 0x7f, result: result)
          return
        }
        switch opcode & 0x7f {
        case 0: self = .announced(epoch: epoch)
        case 1:
          let nonce = try reader.bytes(12)
          guard let transport = PortMapping.Transport(rawValue: try reader.uint8()) else { return nil }
          try reader.skip(3)
          let port = PortMapping.Port(transport, try reader.bigEndian())
          let external: UInt16 = try reader.bigEndian()
          guard let ip = IPAddress(bytes: try reader.bytes(16)) else { return nil }
          self = .mapped(
            port, nonce: nonce, external: SocketAddress(ip.unmapped, port: external), lifetime: lifetime, epoch: epoch)
        default: return nil
        }
      } catch {
        return nil
      }
    }
  }

  private static func header(opcode: UInt8, lifetime: UInt32, _ host: IPAddress) -> ByteWriter {
    var writer = ByteWriter()
    writer.append([2, opcode, 0, 0])
    writer.bigEndian(lifetime)
    writer.append(mapped(host))
    return writer
  }

  private static func mapped(_ address: IPAddress) -> [UInt8] {
    address.family == .v6 ? address.bytes : [UInt8](repeating: 0, count: 10) + [0xff, 0xff] + address.bytes
  }
}
