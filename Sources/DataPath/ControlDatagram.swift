/// What a datagram that is no transport message is to the control side, by its first bytes and its length. It proves nothing.
///
/// | kind | form |
/// |---|---|
/// | handshake | type 1, 2 or 3 as a little-endian word, and exactly that message's length: 148, 92, 64 |
/// | STUN | 20 bytes at least, two zero bits, second byte 1 (every binding message but errors), 0x2112a442 at 4 |
/// | disco | 38 bytes at least (magic and the sender's key), of which the first six are `TS💬` |
enum ControlDatagram {
  case handshake
  case disco
  case stun

  /// The longest message of disco or STUN: one that fits into an Ethernet frame.
  static let longestProbe = 1500
  private static let shortestDisco = 38
  private static let shortestSTUN = 20
  // As a little-endian machine loads them.
  private static let discoMagic: (UInt32, UInt16) = (0x9ff0_5354, 0xac92)
  private static let stunCookie: UInt32 = 0x42a4_1221

  @inline(__always)
  init?(_ datagram: UnsafeRawPointer, count: Int) {
    guard count >= ControlDatagram.shortestSTUN else { return nil }
    let first = UInt32(littleEndian: datagram.loadUnaligned(as: UInt32.self))
    switch (first, count) {
    case (1, 148), (2, 92), (3, 64):
      self = .handshake
    case (ControlDatagram.discoMagic.0, ControlDatagram.shortestDisco...ControlDatagram.longestProbe)
    where UInt16(littleEndian: datagram.loadUnaligned(fromByteOffset: 4, as: UInt16.self))
      == ControlDatagram.discoMagic.1:
      self = .disco
    case (_, ...ControlDatagram.longestProbe)
    where first & 0xffc0 == 0x0100
      && UInt32(littleEndian: datagram.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
        == ControlDatagram.stunCookie:
      self = .stun
    default:
      return nil
    }
  }
}
