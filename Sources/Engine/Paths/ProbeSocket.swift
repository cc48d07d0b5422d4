import CLinux
import Cryptography
import DataPath
import Glibc
import Wire

/// A socket beside the engine's own, through which one peer is reached whose NAT, or this machine's, lets nothing else through
/// (`reach.md` 5, "Hard NATs").
final class ProbeSocket {
  private static let bufferSize: CInt = 1 << 20
  private static let batch = 64
  private static let longestDatagram = 65_536

  let peer: X25519PublicKey
  /// The peer's address, to which alone it sends.
  let address: SocketAddress
  let descriptor: CInt
  /// The peer answered a ping over this socket: it stands for the address.
  var isProven = false

  init?(peer: X25519PublicKey, address: SocketAddress) {
    descriptor = clinux_udp_open(address.ip.family == .v4 ? AF_INET : AF_INET6, 0, Self.bufferSize)
    guard descriptor >= 0 else { return nil }
    self.peer = peer
    self.address = address
  }

  deinit { if descriptor >= 0 { close(descriptor) } }

  @discardableResult
  func send(_ message: [UInt8]) -> CInt { UDPSockets.transmit(message, to: address, over: descriptor) }

  /// A refusal of the kernel is returned as its number.
  func send(_ message: UnsafeRawBufferPointer) -> CInt {
    var kernel = clinux_address(address)
    let length = kernel.length
    let sent = withUnsafePointer(to: &kernel) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        sendto(descriptor, message.baseAddress, message.count, CInt(MSG_DONTWAIT), $0, length)
      }
    }
    return sent < 0 ? errno : 0
  }

  /// Hands over some of what has come from the peer's address; everything else is read away.
  func receive(into buffer: UnsafeMutableRawBufferPointer, _ body: (UnsafeRawBufferPointer) -> Void) {
    for _ in 0..<Self.batch {
      var source = clinux_address()
      var length = socklen_t(MemoryLayout<clinux_address>.size)
      let count = withUnsafeMutablePointer(to: &source) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          recvfrom(descriptor, buffer.baseAddress, buffer.count, CInt(MSG_DONTWAIT), $0, &length)
        }
      }
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else { return }
      if source.socketAddress == address { body(UnsafeRawBufferPointer(rebasing: buffer[..<count])) }
    }
  }
}
