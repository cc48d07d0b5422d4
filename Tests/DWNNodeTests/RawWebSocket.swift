import DWN
import NIOCore
import NIOPosix
import TestSupport
import Wire

@testable import DWNNode

/// A client that sends whatever bytes a test wants, also those that no client would.
struct RawWebSocket {
  struct Frame: Equatable {
    var opcode: UInt8
    var payload: [UInt8]

    var json: JSONValue? { try? JSONValue(parsing: payload) }
    /// Of a close frame.
    var closeCode: Int? { opcode == 8 && payload.count >= 2 ? Int(payload[0]) << 8 | Int(payload[1]) : nil }
  }

  private let outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>
  private var inbound: NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator
  private var buffer = ByteBuffer()

  /// Connects, shakes hands, and closes at the end. `address`: whom a proxy that is trusted says it speaks for. A server that says
  /// nothing ends the test after some minutes.
  static func with(
    _ server: RunningServer, from address: String? = nil, receiveBuffer: Int? = nil,
    _ body: (inout RawWebSocket) async throws -> Void
  ) async throws {
    var bootstrap = ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
    if let receiveBuffer { bootstrap = bootstrap.channelOption(.socketOption(.so_rcvbuf), value: receiveBuffer) }
    let channel =
      try await bootstrap
      .connect(host: server.address.ip.description, port: Int(server.address.port)) { channel in
        channel.eventLoop.makeCompletedFuture {
          try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
        }
      }
    let closing = channel.channel.eventLoop.scheduleTask(in: .seconds(500)) { channel.channel.close(promise: nil) }
    defer { closing.cancel() }
    try await channel.executeThenClose { inbound, outbound in
      var socket = RawWebSocket(outbound: outbound, inbound: inbound.makeAsyncIterator())
      try await socket.shakeHands(address)
      try await body(&socket)
    }
  }

  private init(
    outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>,
    inbound: NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator
  ) {
    self.outbound = outbound
    self.inbound = inbound
  }

  private mutating func shakeHands(_ address: String?) async throws {
    try await outbound.write(
      ByteBuffer(
        string: "GET / HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\n"
          + (address.map { "x-forwarded-for: \($0)\r\n" } ?? "")
          + "sec-websocket-version: 13\r\nsec-websocket-key: AQIDBAUGBwgJCgsMDQ4PEC==\r\n\r\n"))
    while !String(buffer: buffer).contains("\r\n\r\n") {
      guard let part = try await inbound.next() else { throw TestTenancy.Unexpected(text: "no handshake") }
      buffer.writeImmutableBuffer(part)
    }
    let answer = String(buffer: buffer)
    guard answer.hasPrefix("HTTP/1.1 101 ") else { throw TestTenancy.Unexpected(text: answer) }
    buffer.clear()
  }

  func send(_ text: String) async throws { try await send(opcode: 1, Array(text.utf8)) }

  func send(_ json: JSONValue) async throws { try await send(opcode: 1, json.encoded) }

  func send(opcode: UInt8, _ payload: [UInt8], isLast: Bool = true, isMasked: Bool = true) async throws {
    var frame = ByteBuffer()
    frame.writeInteger((isLast ? 0x80 : 0) | opcode)
    let mask: UInt8 = isMasked ? 0x80 : 0
    switch payload.count {
    case ..<126: frame.writeInteger(mask | UInt8(payload.count))
    case ..<65_536:
      frame.writeInteger(mask | 126)
      frame.writeInteger(UInt16(payload.count))
    default:
      frame.writeInteger(mask | 127)
      frame.writeInteger(UInt64(payload.count))
    }
    // A mask of zeros leaves the payload as it is.
    if isMasked { frame.writeInteger(UInt32(0)) }
    frame.writeBytes(payload)
    try await outbound.write(frame)
  }

  func send(bytes: [UInt8]) async throws { try await outbound.write(ByteBuffer(bytes: bytes)) }

  /// `nil` when the other side has closed.
  mutating func receive() async throws -> Frame? {
    while true {
      if let frame = takeFrame() { return frame }
      guard let part = try? await inbound.next() else { return nil }
      buffer.writeImmutableBuffer(part)
    }
  }

  /// The next text as JSON.
  mutating func answer() async throws -> JSONValue {
    while let frame = try await receive() {
      if frame.opcode == 1, let json = frame.json { return json }
      if frame.opcode == 8 { throw TestTenancy.Unexpected(text: "closed with \(frame.closeCode ?? 0)") }
    }
    throw TestTenancy.Unexpected(text: "the connection ended")
  }

  /// The code with which the other side closes.
  mutating func closeCode() async throws -> Int? {
    while let frame = try await receive() {
      if let code = frame.closeCode { return code }
    }
    return nil
  }

  private mutating func takeFrame() -> Frame? {
    var reader = buffer
    guard let first = reader.readInteger(as: UInt8.self), let second = reader.readInteger(as: UInt8.self) else {
      return nil
    }
    var length = Int(second)
    if second == 126 {
      guard let value = reader.readInteger(as: UInt16.self) else { return nil }
      length = Int(value)
    } else if second == 127 {
      guard let value = reader.readInteger(as: UInt64.self) else { return nil }
      length = Int(value)
    }
    guard let payload = reader.readBytes(length: length) else { return nil }
    buffer = reader
    return Frame(opcode: first & 0x0f, payload: payload)
  }
}
