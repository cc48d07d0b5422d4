import CLinux
import DataPath
import Glibc
import Traversal
import Wire

/// The connection with one gateway: what maps ports there, and the socket that it speaks through.
final class GatewayLink {
  private static let bufferSize: CInt = 1 << 18
  /// Datagrams that are read at one go.
  private static let batch = 64
  private static let longestDatagram = 2048

  /// Which link asked: what a thread may hold that waits for the answer.
  final class Asker: Sendable {}

  let asker = Asker()
  let gateway: IPAddress
  let host: IPAddress
  let descriptor: CInt
  var mapper: PortMapper

  /// `nil` if the gateway is not one that could map ports, or there is no socket.
  init?(gateway: IPAddress, host: IPAddress) {
    guard let mapper = PortMapper(gateway: gateway, host: host) else { return nil }
    let descriptor = clinux_udp_open(AF_INET, 0, Self.bufferSize)
    guard descriptor >= 0 else { return nil }
    self.gateway = gateway
    self.host = host
    self.descriptor = descriptor
    self.mapper = mapper
  }

  deinit { close(descriptor) }

  func send(_ bytes: [UInt8], to address: SocketAddress) {
    UDPSockets.transmit(bytes, to: address, over: descriptor)
  }

  /// Some of what has come.
  func receive() -> [(bytes: [UInt8], source: SocketAddress)] {
    var result: [(bytes: [UInt8], source: SocketAddress)] = []
    while result.count < Self.batch {
      var buffer = [UInt8](repeating: 0, count: Self.longestDatagram)
      var address = sockaddr_in()
      var length = socklen_t(MemoryLayout<sockaddr_in>.size)
      let count = withUnsafeMutablePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          recvfrom(descriptor, &buffer, buffer.count, CInt(MSG_DONTWAIT), $0, &length)
        }
      }
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else { break }
      let source = SocketAddress(
        IPAddress(v4: UInt32(bigEndian: address.sin_addr.s_addr)), port: UInt16(bigEndian: address.sin_port))
      result.append((Array(buffer.prefix(count)), source))
    }
    return result
  }
}
