import CLinux
import CMnl
import DataPath
import Glibc
import Traversal
import Wire

/// One HTTP request to a router, and the body of its answer: as much of HTTP as routers speak, within bounds.
enum GatewayHTTP {
  /// For connection, request and answer together.
  static let patience: Duration = .milliseconds(2500)
  /// Status line and headers.
  private static let longestHead = 16 << 10

  /// Waits. `nil` unless the answer is a 200 or a 500 with a body that is not too long.
  static func exchange(_ request: PortMapper.HTTPRequest, with gateway: IPAddress) -> [UInt8]? {
    let deadline = Instant.now() + patience
    let descriptor = socket(AF_INET, CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    guard connect(descriptor, to: SocketAddress(gateway, port: request.port), before: deadline),
      send(head(request, gateway) + request.body, descriptor, before: deadline)
    else { return nil }
    var received: [UInt8] = []
    let limit = longestHead + PortMapper.largestAnswer
    while received.count <= limit, !isWhole(received), let more = receive(descriptor, before: deadline) {
      guard !more.isEmpty else { break }
      received += more
    }
    return received.count <= limit ? body(of: received) : nil
  }

  static func head(_ request: PortMapper.HTTPRequest, _ gateway: IPAddress) -> [UInt8] {
    var lines = [
      "\(request.soapAction == nil ? "GET" : "POST") \(request.path) HTTP/1.1",
      "Host: \(gateway):\(request.port)", "User-Agent: meshd", "Connection: close",
    ]
    if let action = request.soapAction {
      lines += [
        "Content-Type: text/xml; charset=\"utf-8\"", "SOAPAction: \(action)", "Content-Length: \(request.body.count)",
      ]
    }
    return Array((lines.joined(separator: "\r\n") + "\r\n\r\n").utf8)
  }

  // MARK: The answer

  private struct Head {
    var status: Int
    var length: Int?
    var isChunked = false
    var end: Int
  }

  private static func parseHead(_ bytes: [UInt8]) -> Head? {
    guard let end = bytes.firstRange(of: Array("\r\n\r\n".utf8)) else { return nil }
    let lines = String(decoding: bytes[..<end.lowerBound], as: UTF8.self).split(whereSeparator: \.isNewline)
    guard let first = lines.first, first.hasPrefix("HTTP/1."),
      let status = first.split(separator: " ").dropFirst().first.flatMap({ Int($0) })
    else { return nil }
    var head = Head(status: status, end: end.upperBound)
    for line in lines.dropFirst() {
      guard let colon = line.firstIndex(of: ":") else { continue }
      let value = String(line[line.index(after: colon)...].drop { $0 == " " || $0 == "\t" })
      switch line[..<colon].lowercased() {
      case "content-length": head.length = Int(value).flatMap { $0 >= 0 ? $0 : nil }
      case "transfer-encoding": head.isChunked = value.lowercased().hasPrefix("chunked")
      default: break
      }
    }
    return head
  }

  /// Nothing more has to be waited for.
  private static func isWhole(_ bytes: [UInt8]) -> Bool {
    guard let head = parseHead(bytes) else { return bytes.count > longestHead }
    if head.isChunked { return unchunked(bytes[head.end...]) != nil }
    return head.length.map { bytes.count - head.end >= $0 } ?? false
  }

  /// The body of a whole answer; one without a length ends where the connection does.
  static func body(of bytes: [UInt8]) -> [UInt8]? {
    guard let head = parseHead(bytes), head.status == 200 || head.status == 500 else { return nil }
    let rest = bytes[head.end...]
    if head.isChunked { return unchunked(rest) }
    guard let length = head.length else { return Array(rest) }
    return rest.count >= length ? Array(rest.prefix(length)) : nil
  }

  /// RFC 9112, 7.1, without trailers; `nil` as long as the last chunk is missing.
  private static func unchunked(_ bytes: ArraySlice<UInt8>) -> [UInt8]? {
    var rest = bytes
    var result: [UInt8] = []
    while let end = rest.firstRange(of: Array("\r\n".utf8)) {
      let digits = rest[..<end.lowerBound].prefix { $0 != UInt8(ascii: ";") && $0 != UInt8(ascii: " ") }
      guard let size = Int(String(decoding: digits, as: UTF8.self), radix: 16), size >= 0 else { return nil }
      if size == 0 { return result }
      rest = rest[end.upperBound...]
      guard size <= rest.count, rest.count - size >= 2 else { return nil }
      result += rest.prefix(size)
      rest = rest.dropFirst(size + 2)
    }
    return nil
  }

  // MARK: The socket

  private static func wait(_ descriptor: CInt, for events: Int32, before deadline: Instant) -> Bool {
    while true {
      let left = (deadline - .now()).nanoseconds / 1_000_000
      guard left > 0 else { return false }
      var set = pollfd(fd: descriptor, events: Int16(events), revents: 0)
      let ready = poll(&set, 1, CInt(left))
      if ready < 0, errno == EINTR { continue }
      return ready > 0
    }
  }

  private static func connect(_ descriptor: CInt, to address: SocketAddress, before deadline: Instant) -> Bool {
    var kernel = clinux_address(address)
    let length = kernel.length
    let status = withUnsafePointer(to: &kernel) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { Glibc.connect(descriptor, $0, length) }
    }
    if status == 0 { return true }
    guard errno == EINPROGRESS, wait(descriptor, for: POLLOUT, before: deadline) else { return false }
    var error: CInt = 0
    var size = socklen_t(MemoryLayout<CInt>.size)
    return getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0
  }

  private static func send(_ bytes: [UInt8], _ descriptor: CInt, before deadline: Instant) -> Bool {
    var rest = bytes[...]
    while !rest.isEmpty {
      let sent = rest.withUnsafeBytes {
        Glibc.send(descriptor, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL))
      }
      if sent > 0 {
        rest = rest.dropFirst(sent)
      } else if errno != EAGAIN && errno != EINTR {
        return false
      } else if !wait(descriptor, for: POLLOUT, before: deadline) {
        return false
      }
    }
    return true
  }

  /// Empty at the end; `nil` when there was an error or no time.
  private static func receive(_ descriptor: CInt, before deadline: Instant) -> [UInt8]? {
    while wait(descriptor, for: POLLIN, before: deadline) {
      var buffer = [UInt8](repeating: 0, count: 8192)
      let count = recv(descriptor, &buffer, buffer.count, 0)
      if count >= 0 { return Array(buffer.prefix(count)) }
      guard errno == EAGAIN || errno == EINTR else { return nil }
    }
    return nil
  }
}
