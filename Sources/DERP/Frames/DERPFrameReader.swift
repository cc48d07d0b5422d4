import Cryptography
public import NIOCore

/// Takes frames off a stream of bytes, whatever pieces it comes in. What is longer than its type may be is an error before it is
/// waited for, and a type that is not known is skipped as it comes.
public struct DERPFrameReader: Sendable {
  private var skipping = 0

  public init() {}

  /// The next frame; `nil` until more has come.
  public mutating func next(_ buffer: inout ByteBuffer) throws(DERPError) -> DERPFrame? {
    while true {
      if skipping > 0 {
        let count = min(skipping, buffer.readableBytes)
        buffer.moveReaderIndex(forwardBy: count)
        skipping -= count
        guard skipping == 0 else { return nil }
      }
      guard let type = buffer.getInteger(at: buffer.readerIndex, as: UInt8.self),
        let length = buffer.getInteger(at: buffer.readerIndex + 1, as: UInt32.self)
      else { return nil }
      let count = Int(length)
      guard let kind = DERPFrame.Kind(rawValue: type) else {
        guard count <= DERPFrame.maximumSkipped else { throw .tooLong(frame: type, count: count) }
        buffer.moveReaderIndex(forwardBy: DERPFrame.headerLength)
        skipping = count
        continue
      }
      guard count <= DERPFrameReader.longest(kind) else { throw .tooLong(frame: type, count: count) }
      guard buffer.readableBytes >= DERPFrame.headerLength + count else { return nil }
      buffer.moveReaderIndex(forwardBy: DERPFrame.headerLength)
      guard var payload = buffer.readSlice(length: count), let frame = DERPFrameReader.frame(kind, &payload) else {
        throw .malformed(frame: type)
      }
      return frame
    }
  }

  private static func longest(_ kind: DERPFrame.Kind) -> Int {
    switch kind {
    case .serverKey: 1 << 10
    case .clientInfo, .serverInfo, .health: DERPFrame.maximumInfo
    case .sendPacket, .receivedPacket: DERPFrame.keyLength + DERPFrame.maximumPacket
    case .forwardPacket: DERPFrame.maximumPayload
    case .ping, .pong: DERPFrame.maximumPing
    case .keepAlive, .notePreferred, .peerGone, .peerPresent, .watchConnections, .closePeer, .restarting: 1 << 10
    }
  }

  /// `nil` if it is too short. What follows the known fields is left to later versions.
  private static func frame(_ kind: DERPFrame.Kind, _ payload: inout ByteBuffer) -> DERPFrame? {
    switch kind {
    case .serverKey:
      guard payload.readBytes(length: DERPFrame.magic.count) == DERPFrame.magic else { return nil }
      return payload.readKey().map { .serverKey($0) }
    case .clientInfo:
      guard let key = payload.readKey(), payload.readableBytes >= NaClBox.nonceLength + NaClBox.overhead else {
        return nil
      }
      return .clientInfo(key, sealed: Array(payload.readableBytesView))
    case .serverInfo:
      guard payload.readableBytes >= NaClBox.nonceLength + NaClBox.overhead else { return nil }
      return .serverInfo(sealed: Array(payload.readableBytesView))
    case .sendPacket: return payload.readKey().map { .sendPacket(to: $0, payload) }
    case .receivedPacket: return payload.readKey().map { .receivedPacket(from: $0, payload) }
    case .keepAlive: return .keepAlive
    case .notePreferred:
      guard payload.readableBytes == 1 else { return nil }
      return payload.readInteger(as: UInt8.self).map { .notePreferred($0 != 0) }
    case .peerGone:
      guard let key = payload.readKey() else { return nil }
      // Old servers give no reason.
      return .peerGone(key, payload.readInteger().flatMap { .init(rawValue: $0) } ?? .disconnected)
    case .peerPresent, .forwardPacket, .watchConnections, .closePeer: return .meshOnly
    case .ping: return payload.readInteger().map { .ping($0) }
    case .pong: return payload.readInteger().map { .pong($0) }
    case .health: return .health(String(buffer: payload))
    case .restarting:
      guard let reconnectIn = payload.readInteger(as: UInt32.self), let tryFor = payload.readInteger(as: UInt32.self)
      else { return nil }
      return .restarting(reconnectIn: reconnectIn, tryFor: tryFor)
    }
  }
}

extension ByteBuffer {
  fileprivate mutating func readKey() -> X25519PublicKey? {
    readSlice(length: DERPFrame.keyLength).flatMap { X25519PublicKey($0.readableBytesView) }
  }
}
