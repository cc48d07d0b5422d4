import Cryptography
import Wire

/// The type word of a message: one byte and three zero bytes, read as a little-endian number.
enum MessageType {
  static let initiation: UInt32 = 1
  static let response: UInt32 = 2
  static let cookieReply: UInt32 = 3

  static func of(_ message: [UInt8]) -> UInt32? {
    guard message.count >= 4 else { return nil }
    return message.withUnsafeBytes { UInt32(littleEndian: $0.loadUnaligned(as: UInt32.self)) }
  }
}

/// The first message of a handshake (WireGuard §5.4.2), 148 bytes. Numbers are little-endian.
///
/// | offset | size | field |
/// |---|---|---|
/// | 0 | 4 | type 1 |
/// | 4 | 4 | sender index |
/// | 8 | 32 | ephemeral key |
/// | 40 | 48 | sealed static key |
/// | 88 | 28 | sealed time stamp |
/// | 116 | 16 | mac1 |
/// | 132 | 16 | mac2 |
struct HandshakeInitiation: Sendable {
  static let length = 148

  let sender: UInt32
  let ephemeral: X25519PublicKey
  let sealedStatic: [UInt8]
  let sealedTimestamp: [UInt8]

  init(sender: UInt32, ephemeral: X25519PublicKey, sealedStatic: [UInt8], sealedTimestamp: [UInt8]) {
    self.sender = sender
    self.ephemeral = ephemeral
    self.sealedStatic = sealedStatic
    self.sealedTimestamp = sealedTimestamp
  }

  /// `nil` unless type and length fit.
  init?(_ message: [UInt8]) {
    guard message.count == HandshakeInitiation.length, MessageType.of(message) == MessageType.initiation else {
      return nil
    }
    sender = littleEndian(message, at: 4)
    ephemeral = X25519PublicKey(message[8..<40])!
    sealedStatic = Array(message[40..<88])
    sealedTimestamp = Array(message[88..<116])
  }

  /// The message up to mac1.
  var unauthenticated: [UInt8] {
    var writer = ByteWriter(reservingCapacity: HandshakeInitiation.length)
    writer.littleEndian(MessageType.initiation)
    writer.littleEndian(sender)
    writer.append(ephemeral.bytes.array)
    writer.append(sealedStatic)
    writer.append(sealedTimestamp)
    return writer.bytes
  }
}

/// The second message of a handshake (WireGuard §5.4.3), 92 bytes. Numbers are little-endian.
///
/// | offset | size | field |
/// |---|---|---|
/// | 0 | 4 | type 2 |
/// | 4 | 4 | sender index |
/// | 8 | 4 | receiver index |
/// | 12 | 32 | ephemeral key |
/// | 44 | 16 | sealed nothing |
/// | 60 | 16 | mac1 |
/// | 76 | 16 | mac2 |
struct HandshakeResponse: Sendable {
  static let length = 92

  let sender: UInt32
  let receiver: UInt32
  let ephemeral: X25519PublicKey
  let sealedNothing: [UInt8]

  init(sender: UInt32, receiver: UInt32, ephemeral: X25519PublicKey, sealedNothing: [UInt8]) {
    self.sender = sender
    self.receiver = receiver
    self.ephemeral = ephemeral
    self.sealedNothing = sealedNothing
  }

  /// `nil` unless type and length fit.
  init?(_ message: [UInt8]) {
    guard message.count == HandshakeResponse.length, MessageType.of(message) == MessageType.response else { return nil }
    sender = littleEndian(message, at: 4)
    receiver = littleEndian(message, at: 8)
    ephemeral = X25519PublicKey(message[12..<44])!
    sealedNothing = Array(message[44..<60])
  }

  /// The message up to mac1.
  var unauthenticated: [UInt8] {
    var writer = ByteWriter(reservingCapacity: HandshakeResponse.length)
    writer.littleEndian(MessageType.response)
    writer.littleEndian(sender)
    writer.littleEndian(receiver)
    writer.append(ephemeral.bytes.array)
    writer.append(sealedNothing)
    return writer.bytes
  }
}

/// What a responder under load sends instead of a response (WireGuard §5.4.7), 64 bytes. Numbers are little-endian.
///
/// | offset | size | field |
/// |---|---|---|
/// | 0 | 4 | type 3 |
/// | 4 | 4 | receiver index |
/// | 8 | 24 | nonce |
/// | 32 | 32 | sealed cookie |
struct CookieReply: Sendable {
  static let length = 64

  let receiver: UInt32
  let nonce: [UInt8]
  let sealedCookie: [UInt8]

  init(receiver: UInt32, nonce: [UInt8], sealedCookie: [UInt8]) {
    self.receiver = receiver
    self.nonce = nonce
    self.sealedCookie = sealedCookie
  }

  /// `nil` unless type and length fit.
  init?(_ message: [UInt8]) {
    guard message.count == CookieReply.length, MessageType.of(message) == MessageType.cookieReply else { return nil }
    receiver = littleEndian(message, at: 4)
    nonce = Array(message[8..<32])
    sealedCookie = Array(message[32..<64])
  }

  var bytes: [UInt8] {
    var writer = ByteWriter(reservingCapacity: CookieReply.length)
    writer.littleEndian(MessageType.cookieReply)
    writer.littleEndian(receiver)
    writer.append(nonce)
    writer.append(sealedCookie)
    return writer.bytes
  }
}

/// The two authenticators at the end of initiations and responses.
enum MessageMACs {
  static let macLength = 16

  static func mac1Range(_ message: [UInt8]) -> Range<Int> { (message.count - 32)..<(message.count - 16) }
  static func mac2Range(_ message: [UInt8]) -> Range<Int> { (message.count - 16)..<message.count }
}

private func littleEndian(_ message: [UInt8], at offset: Int) -> UInt32 {
  message.withUnsafeBytes { UInt32(littleEndian: $0.loadUnaligned(fromByteOffset: offset, as: UInt32.self)) }
}
