import Foundation
import Glibc
import Logging
import NIOCore
import TestSupport
import Testing
import Traversal
import Wire

@testable import Agent

@Suite("STUN beside a relay", .timeLimit(.minutes(10)))
struct STUNResponderTests {
  private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

  /// A datagram socket that hears `server` alone.
  private func connect(to server: Wire.SocketAddress) throws -> CInt {
    let descriptor = socket(
      server.ip.family == .v4 ? AF_INET : AF_INET6, CInt(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    try #require(descriptor >= 0)
    var patience = timeval(tv_sec: 1, tv_usec: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
    let kernel = try NIOCore.SocketAddress(ipAddress: server.ip.description, port: Int(server.port))
    try #require(kernel.withSockAddr { Glibc.connect(descriptor, $0, socklen_t($1)) } == 0)
    return descriptor
  }

  /// Asks until there is an answer, and tells which address the server saw; and whether that is the asker's.
  private func ask(_ server: Wire.SocketAddress) throws -> Bool {
    let descriptor = try connect(to: server)
    defer { close(descriptor) }
    let id = TransactionID(random: SystemRandom())
    let request = STUNRequest.bytes(id)
    for _ in 0..<30 {
      send(descriptor, request, request.count, 0)
      var buffer = [UInt8](repeating: 0, count: 1500)
      let count = recv(descriptor, &buffer, buffer.count, 0)
      guard count > 0 else { continue }
      let answer = try STUNResponse(parsing: Array(buffer[..<count]))
      var own = sockaddr_storage()
      var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
      withUnsafeMutablePointer(to: &own) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { _ = getsockname(descriptor, $0, &size) }
      }
      // Port and family lie at the same place for both families.
      let port = withUnsafeBytes(of: own) { UInt16(bigEndian: $0.loadUnaligned(fromByteOffset: 2, as: UInt16.self)) }
      return answer.transactionID == id && answer.address.port == port
    }
    return false
  }

  private func onThread<R: Sendable>(_ body: @escaping @Sendable () throws -> R) async throws -> R {
    try await withCheckedThrowingContinuation { continuation in
      Thread { continuation.resume(with: Result { try body() }) }.start()
    }
  }

  /// A TCP port that nobody has on UDP just now, nor the one after it.
  private func freePort() throws -> UInt16 {
    let probe = STUNResponder(
      beside: [Wire.SocketAddress(IPAddress(v4: 0), port: UInt16.random(in: 20000...60000))], logger: logger)
    defer { probe.stop() }
    return try #require(probe.ports.first)
  }

  @Test("two ports of every family answer, and each answer comes from the address that was asked")
  func answers() async throws {
    let port = try freePort()
    let responder = STUNResponder(
      beside: [SocketAddress(IPAddress(v4: 0), port: port), SocketAddress(IPAddress(v6: 0), port: port)], logger: logger
    )
    #expect(responder.ports.count == 2 && Set(responder.ports).count == 2)
    for port in responder.ports {
      for address in ["127.0.0.1", "127.0.0.2", "::1"] {
        let server = Wire.SocketAddress(try #require(IPAddress(address)), port: port)
        #expect(try await onThread { try ask(server) }, "\(server)")
      }
    }
    responder.stop()
  }

  @Test("a port that somebody has is passed over, and it is free again after the end")
  func taken() throws {
    let address = IPAddress(v4: 0x7f00_0001)
    let first = STUNResponder(beside: [SocketAddress(address, port: try freePort())], logger: logger)
    let port = try #require(first.ports.first)
    let second = STUNResponder(beside: [SocketAddress(address, port: port)], logger: logger)
    #expect(second.ports.count == 2)
    #expect(Set(first.ports).isDisjoint(with: second.ports))
    first.stop()
    second.stop()
    let third = STUNResponder(beside: [SocketAddress(address, port: port)], logger: logger)
    #expect(third.ports.first == port)
  }

  @Test("what is no request gets no answer, and the next request does")
  func nonsense() async throws {
    let responder = STUNResponder(
      beside: [SocketAddress(IPAddress(v4: 0x7f00_0001), port: try freePort())], logger: logger)
    let server = Wire.SocketAddress(IPAddress(v4: 0x7f00_0001), port: try #require(responder.ports.first))
    let isAnswered = try await onThread {
      let descriptor = try connect(to: server)
      defer { close(descriptor) }
      let random = SeededRandom(5)
      for size in [0, 1, 19, 20, 548, 549, 9000] {
        let bytes = random.bytes(size)
        send(descriptor, bytes, bytes.count, 0)
      }
      var request = STUNRequest.bytes(TransactionID(random: SystemRandom()))
      request[request.count - 1] ^= 1
      send(descriptor, request, request.count, 0)
      var buffer = [UInt8](repeating: 0, count: 1500)
      return recv(descriptor, &buffer, buffer.count, 0) >= 0
    }
    #expect(!isAnswered)
    #expect(try await onThread { try ask(server) })
  }
}
