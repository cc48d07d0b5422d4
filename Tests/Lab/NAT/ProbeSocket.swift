import CLinux
import DataPath
import Glibc
import Wire

/// A UDP socket on a machine of the lab. Its calls block, so it is used on threads of their own.
struct ProbeSocket: Sendable {
  private let descriptor: CInt

  /// Opens one at an address (`0.0.0.0:41641`) of a machine.
  static func open(_ address: String, in namespace: NetworkNamespace) async throws -> ProbeSocket {
    ProbeSocket(descriptor: try await inNamespace(namespace) { try LabSocket.udp(bound: address) })
  }

  /// The port that it is bound to.
  var port: UInt16 { UInt16(clamping: clinux_udp_port(descriptor)) }

  func send(_ word: String, to address: SocketAddress) { send(Array(word.utf8), to: address) }

  /// Sends a datagram. That there is no way is no error: nothing arrives.
  func send(_ bytes: [UInt8], to address: SocketAddress) {
    let kernel = clinux_address(address)
    withUnsafePointer(to: kernel) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        _ = sendto(descriptor, bytes, bytes.count, CInt(MSG_NOSIGNAL), $0, kernel.length)
      }
    }
  }

  /// The next word that arrives and where it came from, `nil` if none does for `patience` milliseconds.
  func receive(patience: CInt = 3000) -> (word: String, source: SocketAddress)? {
    receiveBytes(patience: patience).map { (String(decoding: $0, as: UTF8.self), $1) }
  }

  func receiveBytes(patience: CInt = 3000) -> (bytes: [UInt8], source: SocketAddress)? {
    var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    guard poll(&waiting, 1, patience) == 1 else { return nil }
    var bytes = [UInt8](repeating: 0, count: 256)
    var kernel = clinux_address()
    var length = socklen_t(MemoryLayout<clinux_address>.size)
    let count = withUnsafeMutablePointer(to: &kernel) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        recvfrom(descriptor, &bytes, bytes.count, 0, $0, &length)
      }
    }
    guard count >= 0, let source = kernel.socketAddress else { return nil }
    return (Array(bytes[..<count]), source)
  }

  /// The words that arrive up to this one.
  func words(until last: String) -> Set<String> {
    var words: Set<String> = []
    while let (word, _) = receive(), word != last { words.insert(word) }
    return words
  }

  func close() { _ = Glibc.close(descriptor) }
}
