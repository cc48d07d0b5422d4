public import Cryptography
public import NIOCore

/// A frame of the relay protocol (`derp.md`, 3 and 4): one byte of type, four of length, and the payload.
public enum DERPFrame: Hashable, Sendable {
  public enum PeerGoneReason: UInt8, Sendable {
    /// It was here, and what it had sent was delivered to whoever is told.
    case disconnected = 0
    /// Nobody of that key is here.
    case notHere = 1
  }

  /// The server's first, with its key.
  case serverKey(X25519PublicKey)
  /// The client's first: its node key, and what it says of itself, sealed for the server.
  case clientInfo(X25519PublicKey, sealed: [UInt8])
  case serverInfo(sealed: [UInt8])
  case sendPacket(to: X25519PublicKey, ByteBuffer)
  case receivedPacket(from: X25519PublicKey, ByteBuffer)
  case keepAlive
  /// Whether this relay is the client's home.
  case notePreferred(Bool)
  case peerGone(X25519PublicKey, PeerGoneReason)
  case ping(UInt64)
  case pong(UInt64)
  /// What is wrong with the connection, in words; empty: nothing any more.
  case health(String)
  /// The server is about to restart: milliseconds until it is worth to connect again, and for how long to try.
  case restarting(reconnectIn: UInt32, tryFor: UInt32)
  /// What only relays of one region say to each other, which these relays do not.
  case meshOnly

  static let headerLength = 5
  static let keyLength = 32
  /// Of one packet that is relayed.
  public static let maximumPacket = 65536
  /// Longest frame whose payload is taken in.
  static let maximumPayload = 2 * keyLength + maximumPacket
  /// Longest frame of an unknown type that is skipped; whoever sends a longer one is not to be followed.
  static let maximumSkipped = 1 << 20
  static let maximumInfo = 16 << 10
  static let maximumPing = 1000
  /// "DERP" and U+1F511.
  static let magic: [UInt8] = [0x44, 0x45, 0x52, 0x50, 0xf0, 0x9f, 0x94, 0x91]
  public static let protocolVersion: Int64 = 2

  enum Kind: UInt8 {
    case serverKey = 0x01
    case clientInfo = 0x02
    case serverInfo = 0x03
    case sendPacket = 0x04
    case receivedPacket = 0x05
    case keepAlive = 0x06
    case notePreferred = 0x07
    case peerGone = 0x08
    case peerPresent = 0x09
    case forwardPacket = 0x0a
    case watchConnections = 0x10
    case closePeer = 0x11
    case ping = 0x12
    case pong = 0x13
    case health = 0x14
    case restarting = 0x15
  }
}

extension DERPFrame {
  /// Appends the frame. `meshOnly` is never sent and appends nothing.
  public func write(to buffer: inout ByteBuffer) {
    switch self {
    case .serverKey(let key): DERPFrame.write(.serverKey, to: &buffer, DERPFrame.magic, key)
    case .clientInfo(let key, let sealed): DERPFrame.write(.clientInfo, to: &buffer, key, sealed)
    case .serverInfo(let sealed): DERPFrame.write(.serverInfo, to: &buffer, sealed)
    case .sendPacket(let key, let packet): DERPFrame.writePacket(.sendPacket, key, packet, to: &buffer)
    case .receivedPacket(let key, let packet): DERPFrame.writePacket(.receivedPacket, key, packet, to: &buffer)
    case .keepAlive: DERPFrame.write(.keepAlive, to: &buffer, [])
    case .notePreferred(let isHome): DERPFrame.write(.notePreferred, to: &buffer, [isHome ? 1 : 0])
    case .peerGone(let key, let reason): DERPFrame.write(.peerGone, to: &buffer, key, [reason.rawValue])
    case .ping(let number): DERPFrame.write(.ping, to: &buffer, DERPFrame.bytes(number))
    case .pong(let number): DERPFrame.write(.pong, to: &buffer, DERPFrame.bytes(number))
    case .health(let text): DERPFrame.write(.health, to: &buffer, Array(text.utf8))
    case .restarting(let reconnectIn, let tryFor):
      DERPFrame.write(.restarting, to: &buffer, DERPFrame.bytes(reconnectIn) + DERPFrame.bytes(tryFor))
    case .meshOnly: break
    }
  }

  /// Bytes on the wire of a packet of this length on its way to or from a relay.
  public static func length(ofPacket count: Int) -> Int { headerLength + keyLength + count }

  private static func header(_ kind: Kind, _ count: Int, to buffer: inout ByteBuffer) {
    buffer.writeInteger(kind.rawValue)
    buffer.writeInteger(UInt32(count))
  }

  private static func write(_ kind: Kind, to buffer: inout ByteBuffer, _ payload: [UInt8]) {
    header(kind, payload.count, to: &buffer)
    buffer.writeBytes(payload)
  }

  private static func write(_ kind: Kind, to buffer: inout ByteBuffer, _ key: X25519PublicKey, _ rest: [UInt8]) {
    header(kind, keyLength + rest.count, to: &buffer)
    key.bytes.withUnsafeBytes { _ = buffer.writeBytes($0) }
    buffer.writeBytes(rest)
  }

  private static func write(_ kind: Kind, to buffer: inout ByteBuffer, _ first: [UInt8], _ key: X25519PublicKey) {
    header(kind, first.count + keyLength, to: &buffer)
    buffer.writeBytes(first)
    key.bytes.withUnsafeBytes { _ = buffer.writeBytes($0) }
  }

  private static func writePacket(
    _ kind: Kind, _ key: X25519PublicKey, _ packet: ByteBuffer, to buffer: inout ByteBuffer
  ) {
    header(kind, keyLength + packet.readableBytes, to: &buffer)
    key.bytes.withUnsafeBytes { _ = buffer.writeBytes($0) }
    buffer.writeImmutableBuffer(packet)
  }

  private static func bytes(_ value: some FixedWidthInteger) -> [UInt8] {
    withUnsafeBytes(of: value.bigEndian) { Array($0) }
  }
}
