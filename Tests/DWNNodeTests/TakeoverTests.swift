import Foundation
import NIOCore
import NIOPosix
import NIOSSL
import Synchronization
import TestSupport
import Testing
import Wire

@testable import DWNNode

/// Another protocol behind TLS on the node's port: here one that answers whatever comes with the same bytes.
@Suite("another protocol takes connections over by their first request", .timeLimit(.minutes(10)))
struct TakeoverTests {
  private static func context() throws -> NIOSSLContext {
    // Made for this test: openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 36500 -subj /CN=relay.test
    let pem = Array(Self.pem.utf8)
    return try NIOSSLContext(
      configuration: .makeServerConfiguration(
        certificateChain: try NIOSSLCertificate.fromPEMBytes(pem).map { .certificate($0) },
        privateKey: .privateKey(try NIOSSLPrivateKey(bytes: pem, format: .pem))))
  }

  private func start(
    patience: Duration = .seconds(60), _ change: (inout ServerConfiguration) -> Void = { _ in }
  ) async throws -> RunningServer {
    let context = try Self.context()
    return try await RunningServer.start(ScriptedEndpoint()) {
      $0.takeover = ConnectionTakeover(path: "/derp", tls: context, patience: patience) {
        try $0.pipeline.syncOperations.addHandler(Echo())
      }
      change(&$0)
    }
  }

  /// A connection over TLS that collects what comes.
  private func connect(_ server: RunningServer) async throws -> (channel: any Channel, received: Received) {
    var configuration = TLSConfiguration.makeClientConfiguration()
    configuration.certificateVerification = .none
    let context = try NIOSSLContext(configuration: configuration)
    let received = Received()
    let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          let pipeline = channel.pipeline.syncOperations
          try pipeline.addHandler(NIOSSLClientHandler(context: context, serverHostname: nil))
          try pipeline.addHandler(Collector(received))
        }
      }
      .connect(host: server.address.ip.description, port: Int(server.address.port)).get()
    return (channel, received)
  }

  @Test("a request for its path is its own from the first byte on, however it is cut, and nothing is answered in HTTP")
  func fromTheFirstByte() async throws {
    let running = try await start()
    for path in ["/derp", "/derp?x=1", "/derp/probe"] {
      let text = "GET \(path) HTTP/1.1\r\n\r\n\u{2}\u{0}raw"
      let (channel, received) = try await connect(running)
      for byte in text.utf8.prefix(20) { try await channel.writeAndFlush(ByteBuffer(bytes: [byte])).get() }
      try await channel.writeAndFlush(ByteBuffer(bytes: text.utf8.dropFirst(20))).get()
      #expect(try await received.wait { $0 == text })
      try await channel.close()
    }
    await running.server.shutdown()
  }

  @Test("other requests behind TLS are the node's, and so is everything without TLS")
  func others() async throws {
    let running = try await start()
    for path in ["/health", "/derpy", "/der", "/"] {
      let (channel, received) = try await connect(running)
      try await channel.writeAndFlush(ByteBuffer(string: "GET \(path) HTTP/1.1\r\nhost: x\r\n\r\n")).get()
      #expect(try await received.wait { $0.hasPrefix("HTTP/1.1 ") }, "\(path)")
      try await channel.close()
    }
    let plain = try await running.exchange("GET /derp HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    #expect(plain.hasPrefix("HTTP/1.1 404"), "\(plain)")
    #expect(try await running.exchange("GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").contains("ok"))
    await running.server.shutdown()
  }

  @Test("what it took over needs no room among the node's connections, and ends with the server at once")
  func bounds() async throws {
    let running = try await start {
      $0.maximumConnections = 2
      $0.shutdownGrace = .seconds(600)
    }
    var ends: [EventLoopFuture<Void>] = []
    for _ in 0..<5 {
      let (channel, received) = try await connect(running)
      try await channel.writeAndFlush(ByteBuffer(string: "GET /derp HTTP/1.1\r\n\r\n")).get()
      #expect(try await received.wait { !$0.isEmpty })
      ends.append(channel.closeFuture)
    }
    await running.server.shutdown()
    for end in ends { try await end.get() }
  }

  @Test("a connection that says nothing, before TLS or after it, or never says what it wants, is ended soon")
  func silence() async throws {
    // The node's own clients have a minute.
    let running = try await start(patience: .seconds(2))
    let silent = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .connect(host: running.address.ip.description, port: Int(running.address.port)).get()
    try await silent.closeFuture.get()
    for text in ["", "GET /de", String(repeating: "A", count: 10)] {
      let (channel, _) = try await connect(running)
      if !text.isEmpty { try await channel.writeAndFlush(ByteBuffer(string: text)).get() }
      try await channel.closeFuture.get()
    }
    await running.server.shutdown()
  }

  @Test(
    "its path is recognised as early as can be",
    arguments: [
      ("", nil), ("G", nil), ("GET", nil), ("GET ", nil), ("GET /derp", nil), ("GET /derp ", true),
      ("HEAD /derp/latency-check HTTP/1.1", true), ("GET /derp?", true), ("GET /derq", false), ("GET /derps", false),
      ("get /derp ", false), (" /derp ", false), ("GET  /derp ", false), ("\u{16}\u{3}", false),
      ("ABCDEFGHIJKLMNOPQRST", false), ("GET http://a/derp ", false),
    ] as [(String, Bool?)])
  func recognition(_ text: String, _ expected: Bool?) throws {
    let takeover = ConnectionTakeover(path: "/derp", tls: try Self.context()) { _ in }
    #expect(takeover.claims(Array(text.utf8)) == expected)
  }

  private static let pem = """
    -----BEGIN PRIVATE KEY-----
    MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg4PH5Gl8C5QWnRLFO
    C7QHn8gsidC1LFftd6UfAAHr6n+hRANCAAR+lfmTDW8tHNcFu1mWVPX+dUfwH14E
    gD2lrBxeIte3+io21ut2hotfXJriRzBzzIpkYDTZmL0YMuiztHdngk6x
    -----END PRIVATE KEY-----
    -----BEGIN CERTIFICATE-----
    MIIBgjCCASegAwIBAgIUZ2JhwlrBj43uAoOSZCNdwh9GY84wCgYIKoZIzj0EAwIw
    FTETMBEGA1UEAwwKcmVsYXkudGVzdDAgFw0yNjExMjExODU3MzBaGA8yMTI2MTAy
    ODE4NTczMFowFTETMBEGA1UEAwwKcmVsYXkudGVzdDBZMBMGByqGSM49AgEGCCqG
    SM49AwEHA0IABH6V+ZMNby0c1wW7WZZU9f51R/AfXgSAPaWsHF4i17f6KjbW63aG
    i19cmuJHMHPMimRgNNmYvRgy6LO0d2eCTrGjUzBRMB0GA1UdDgQWBBQOakHtCddr
    w8unUIrxpP7MxPQeEDAfBgNVHSMEGDAWgBQOakHtCddrw8unUIrxpP7MxPQeEDAP
    BgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0kAMEYCIQC9CBwjV+gGj/ePzlEt
    B1s7XvXwQ9n85ZP50eidt1NHzgIhAJoz3T3it3eH4i6vF2QZvins3zyL5dWuZ9l3
    hFriaaD3
    -----END CERTIFICATE-----
    """
}

private final class Echo: ChannelInboundHandler, Sendable {
  typealias InboundIn = ByteBuffer
  func channelRead(context: ChannelHandlerContext, data: NIOAny) { context.writeAndFlush(data, promise: nil) }
}

private final class Received: Sendable {
  private let text = Mutex("")

  func append(_ more: String) { text.withLock { $0 += more } }

  /// Until the condition holds, or half a minute has passed.
  func wait(_ condition: (String) -> Bool) async throws -> Bool {
    for _ in 0..<3000 {
      if condition(text.withLock { $0 }) { return true }
      try await Task.sleep(for: .milliseconds(10))
    }
    return false
  }
}

private final class Collector: ChannelInboundHandler, Sendable {
  typealias InboundIn = ByteBuffer
  private let received: Received
  init(_ received: Received) { self.received = received }
  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    received.append(String(buffer: unwrapInboundIn(data)))
  }
  func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
