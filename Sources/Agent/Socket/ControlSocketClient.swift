import CLinux
import Foundation
import Glibc
import Wire

/// Asks the daemon of a state directory.
public struct ControlSocketClient: Sendable {
  private let path: String

  public init(_ directory: StateDirectory) {
    path = directory.socketPath
  }

  /// `nil` if no daemon listens there. Blocks for at most `timeout` for each step.
  public func send(_ request: ControlRequest, timeout: Duration = .seconds(5)) throws(AgentError) -> ControlResponse? {
    let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard descriptor >= 0 else { throw .failed("cannot make a socket: \(StateDirectory.errnoText())") }
    defer { close(descriptor) }
    var limit = timeval(tv_sec: Int(timeout.seconds.rounded(.up)), tv_usec: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))

    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    guard path.utf8.count < MemoryLayout.size(ofValue: address.sun_path) else {
      throw .unusableStateDirectory(path: path, reason: "the socket's path is too long")
    }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
    let status = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    guard status == 0 else {
      switch errno {
      case ENOENT, ECONNREFUSED: return nil
      case EACCES: throw .failed("no permission to control the daemon at \(path): run as its owner or as root")
      default: throw .failed("cannot reach the daemon at \(path): \(StateDirectory.errnoText())")
      }
    }
    try write(request, to: descriptor)
    return try parse(try readAll(descriptor))
  }

  private func write(_ request: ControlRequest, to descriptor: Int32) throws(AgentError) {
    var head = "\(request.method) \(request.path) HTTP/1.1\r\nhost: meshd\r\nconnection: close\r\n"
    for (name, value) in request.headers.sorted(by: { $0.key < $1.key }) { head += "\(name): \(value)\r\n" }
    head += "content-length: \(request.body.count)\r\n\r\n"
    let bytes = Array(head.utf8) + request.body
    var offset = 0
    while offset < bytes.count {
      let count = bytes.withUnsafeBytes {
        Glibc.send(descriptor, $0.baseAddress! + offset, bytes.count - offset, Int32(MSG_NOSIGNAL))
      }
      if count > 0 {
        offset += count
      } else if errno != EINTR {
        throw .failed("the daemon closed its control socket: \(StateDirectory.errnoText())")
      }
    }
  }

  private func readAll(_ descriptor: Int32) throws(AgentError) -> [UInt8] {
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65536)
    while bytes.count <= 64 << 20 {
      let count = recv(descriptor, &buffer, buffer.count, 0)
      if count == 0 { return bytes }
      if count > 0 {
        bytes.append(contentsOf: buffer[..<count])
      } else if errno == EAGAIN || errno == EWOULDBLOCK {
        throw .failed("the daemon at \(path) did not answer in time; its log may tell why")
      } else if errno != EINTR {
        throw .failed("the daemon at \(path) broke off: \(StateDirectory.errnoText())")
      }
    }
    throw .failed("the daemon at \(path) answers without end")
  }

  private func parse(_ bytes: [UInt8]) throws(AgentError) -> ControlResponse {
    guard !bytes.isEmpty else {
      throw .failed("the daemon at \(path) ended before it answered: run 'meshd up', then this command again")
    }
    let text = String(decoding: bytes, as: UTF8.self)
    guard let end = text.range(of: "\r\n\r\n"), text.hasPrefix("HTTP/1.1 "),
      let status = Int(text.dropFirst(9).prefix(3)),
      let body = try? JSONValue(parsing: Array(text[end.upperBound...].utf8), depth: 32)
    else { throw .failed("what listens at \(path) is not meshd") }
    return ControlResponse(status, body)
  }
}
