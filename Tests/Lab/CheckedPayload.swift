import CLinux
import DataPath
import Foundation
import Glibc
import TestSupport
import Wire

/// Bytes that whoever knows the seed can check: one long pattern, which repeats in streams, and parts of which are in datagrams.
struct CheckedPayload: Sendable {
  /// No multiple of any packet's size.
  private static let period = (1 << 20) + 7
  private static let header = 8
  static let longest = 1200

  private let pattern: [UInt8]

  init(seed: UInt64) {
    let random = SeededRandom(seed)
    var words = [UInt64]()
    for _ in 0...CheckedPayload.period / 8 { words.append(random.next()) }
    pattern = words.withUnsafeBytes { Array($0) }
  }

  /// Bytes of the stream from `offset` on, at most so many.
  func bytes(from offset: Int, atMost count: Int) -> ArraySlice<UInt8> {
    let start = offset % CheckedPayload.period
    return pattern[start..<min(start + count, CheckedPayload.period)]
  }

  /// Whether these bytes are the stream's from `offset` on.
  func holds(_ bytes: ArraySlice<UInt8>, from offset: Int) -> Bool {
    var checked = 0
    while checked < bytes.count {
      let expected = self.bytes(from: offset + checked, atMost: bytes.count - checked)
      let isSame = bytes.dropFirst(checked).withUnsafeBytes { got in
        expected.withUnsafeBytes { memcmp(got.baseAddress!, $0.baseAddress!, $0.count) == 0 }
      }
      guard isSame else { return false }
      checked += expected.count
    }
    return true
  }

  /// Datagram `number`: its number, its length, and as much of the pattern.
  func datagram(_ number: Int, length: Int) -> [UInt8] {
    let body = length - CheckedPayload.header
    let start = number * 977 % (CheckedPayload.period - body)
    return withUnsafeBytes(of: (UInt32(number), UInt32(length))) { Array($0) } + pattern[start..<start + body]
  }

  func isDatagram(_ bytes: ArraySlice<UInt8>) -> Bool {
    guard bytes.count >= CheckedPayload.header else { return false }
    let (number, length) = bytes.withUnsafeBytes {
      ($0.loadUnaligned(as: UInt32.self), $0.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
    }
    return length == bytes.count && bytes.elementsEqual(datagram(Int(number), length: Int(length)))
  }
}

/// Plain sockets with blocking calls, in the network namespace of the thread that makes them.
enum LabSocket {
  static let patience = timeval(tv_sec: 60, tv_usec: 0)

  private static func open(_ address: SocketAddress, _ kind: __socket_type, patience: timeval = patience) throws -> CInt
  {
    let family = address.ip.family == .v4 ? AF_INET : AF_INET6
    let descriptor = socket(family, CInt(kind.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
    guard descriptor >= 0 else { throw POSIXError(.EMFILE) }
    var limit = patience
    let size = socklen_t(MemoryLayout<timeval>.size)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, size)
    setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, size)
    var yes: CInt = 1
    setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<CInt>.size))
    return descriptor
  }

  private static func parse(_ text: String) throws -> SocketAddress {
    guard let address = SocketAddress(text) else { throw CocoaError(.formatting) }
    return address
  }

  private static func check(_ status: CInt, _ descriptor: CInt) throws {
    guard status == 0 else {
      let error = POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO)
      close(descriptor)
      throw error
    }
  }

  private static func withKernelAddress(
    _ address: SocketAddress, _ body: (UnsafePointer<sockaddr>, socklen_t) -> CInt
  ) -> CInt {
    let kernel = clinux_address(address)
    return withUnsafePointer(to: kernel) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, kernel.length) }
    }
  }

  static func udp(bound text: String) throws -> CInt {
    let address = try parse(text)
    // Whoever waits for datagrams waits no longer than this for the last of them.
    let descriptor = try open(address, SOCK_DGRAM, patience: timeval(tv_sec: 3, tv_usec: 0))
    var size: CInt = 4 << 20
    setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &size, socklen_t(MemoryLayout<CInt>.size))
    try check(withKernelAddress(address) { bind(descriptor, $0, $1) }, descriptor)
    return descriptor
  }

  static func listener(_ text: String) throws -> CInt {
    let address = try parse(text)
    let descriptor = try open(address, SOCK_STREAM)
    try check(withKernelAddress(address) { bind(descriptor, $0, $1) }, descriptor)
    try check(listen(descriptor, 1), descriptor)
    return descriptor
  }

  /// Takes one connection. Whether exactly so many bytes of the stream came on it.
  static func receiveStream(_ listener: CInt, _ payload: CheckedPayload, _ wanted: Int) throws -> Bool {
    try receiveStream(listener, payload) == wanted
  }

  /// Takes one connection. How many bytes of the stream came on it until its end, `nil` if something else did, or nothing for longer
  /// than `patience`.
  static func receiveStream(_ listener: CInt, _ payload: CheckedPayload, patience: timeval = patience) throws -> Int? {
    defer { close(listener) }
    let descriptor = accept(listener, nil, nil)
    guard descriptor >= 0 else { throw POSIXError(.ETIMEDOUT) }
    defer { close(descriptor) }
    var limit = patience
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    var buffer = [UInt8](repeating: 0, count: 256 << 10)
    var offset = 0
    while true {
      let count = recv(descriptor, &buffer, buffer.count, 0)
      guard count > 0 else { return count == 0 ? offset : nil }
      guard payload.holds(buffer[..<count], from: offset) else { return nil }
      offset += count
    }
  }

  /// A TCP connection to an address. Neither sending nor receiving takes longer than `patience`.
  static func connection(to text: String, patience: timeval = patience) throws -> CInt {
    let address = try parse(text)
    let descriptor = try open(address, SOCK_STREAM, patience: patience)
    guard withKernelAddress(address, { connect(descriptor, $0, $1) }) == 0 else {
      close(descriptor)
      throw POSIXError(.ETIMEDOUT)
    }
    return descriptor
  }

  static func sendStream(_ text: String, _ payload: CheckedPayload, _ count: Int) throws {
    let descriptor = try connection(to: text)
    defer { close(descriptor) }
    var offset = 0
    var size = 1
    while offset < count {
      // Writes of all sizes, small ones too.
      size = size * 7 % 65_521 + 1
      let bytes = payload.bytes(from: offset, atMost: min(size, count - offset))
      let sent = bytes.withUnsafeBytes { send(descriptor, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL)) }
      guard sent > 0 else { throw POSIXError(.EPIPE) }
      offset += sent
    }
  }

  /// How many datagrams came as they were sent, and how many did not, until none came for a while.
  static func receiveDatagrams(_ descriptor: CInt, _ payload: CheckedPayload) -> (whole: Int, changed: Int) {
    defer { close(descriptor) }
    var buffer = [UInt8](repeating: 0, count: 4096)
    var outcome = (whole: 0, changed: 0)
    while true {
      let count = recv(descriptor, &buffer, buffer.count, 0)
      guard count > 0 else { return outcome }
      if payload.isDatagram(buffer[..<count]) { outcome.whole += 1 } else { outcome.changed += 1 }
    }
  }

  /// Sends datagrams: single ones of all lengths, and trains that the kernel is left to cut.
  static func sendDatagrams(_ text: String, _ payload: CheckedPayload, _ count: Int) throws {
    let address = try parse(text)
    let descriptor = try open(address, SOCK_DGRAM)
    defer { close(descriptor) }
    guard withKernelAddress(address, { connect(descriptor, $0, $1) }) == 0 else { throw POSIXError(.ENETUNREACH) }
    var number = 0
    while number < count {
      var segment: CInt = number % 100 < 50 ? CInt(CheckedPayload.longest) : 0
      // UDP_SEGMENT, which Debian's headers know as a number.
      setsockopt(descriptor, CInt(IPPROTO_UDP), 103, &segment, socklen_t(MemoryLayout<CInt>.size))
      let length = segment > 0 ? CheckedPayload.longest : 8 + number * 31 % (CheckedPayload.longest - 8)
      let together = segment > 0 ? 10 : 1
      let bytes = (0..<together).flatMap { payload.datagram(number + $0, length: length) }
      // A refusal is a loss, as others on the way are.
      _ = send(descriptor, bytes, bytes.count, 0)
      number += together
      if number % 20 == 0 { usleep(1000) }
    }
  }
}
