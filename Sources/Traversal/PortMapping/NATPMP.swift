import Wire

/// The messages of NAT-PMP (RFC 6886), UDP to port 5351 of the gateway. Everything is big-endian.
///
/// | message | bytes |
/// |---|---|
/// | address request | version 0, opcode 0 |
/// | address response | 0, 128, result (2), epoch (4), IPv4 address (4) |
/// | map request | 0, opcode 1 UDP or 2 TCP, 0 (2), internal port (2), wanted external port (2), lifetime in seconds (4) |
/// | map response | 0, opcode + 128, result (2), epoch (4), internal port (2), external port (2), lifetime (4) |
enum NATPMP {
  static let port: UInt16 = 5351

  static let addressRequest: [UInt8] = [0, 0]

  /// A lifetime of 0 takes the mapping back.
  static func mapRequest(_ port: PortMapping.Port, wanting external: UInt16, lifetime: UInt32) -> [UInt8] {
    var writer = ByteWriter()
    writer.append([0, port.transport == .udp ? 1 : 2, 0, 0])
    writer.bigEndian(port.number)
    writer.bigEndian(lifetime == 0 ? 0 : external)
    writer.bigEndian(lifetime)
    return writer.bytes
  }

  enum Response: Hashable {
    /// Seconds since the router lost or gained its state.
    case address(IPAddress, epoch: UInt32)
    case mapped(PortMapping.Port, external: UInt16, lifetime: UInt32, epoch: UInt32)
    /// RFC 6886 §3.5: 1 version, 2 not authorised, 3 network failure, 4 out of resources, 5 opcode.
    case refused(opcode: UInt8, result: UInt16)

    /// `nil`: it is none.
    init?(_ bytes: [UInt8]) {
      var reader = ByteReader(bytes)
      do throws(ByteReader.Truncated) {
        guard try reader.uint8() == 0 else { return nil }
        let opcode = try reader.uint8()
        guard opcode & 0x80 != 0 else { return nil }
        let result: UInt16 = try reader.bigEndian()
        guard result == 0 else {
          self = .refused(opcode: opcode & 0x7f, result: result)
          return
        }
        let epoch: UInt32 = try reader.bigEndian()
        switch opcode & 0x7f {
        case 0: self = .address(IPAddress(v4: try reader.bigEndian()), epoch: epoch)
        case 1, 2:
          let port = PortMapping.Port(opcode == 0x81 ? .udp : .tcp, try reader.bigEndian())
          self = .mapped(
            port, external: try reader.bigEndian(), lifetime: try reader.bigEndian(), epoch: epoch)
        default: return nil
        }
      } catch {
        return nil
      }
    }
  }
}
