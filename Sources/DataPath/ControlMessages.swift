import CLinux
public import Wire
public import WireGuard

/// What the data thread hands to the control side.
public enum DataPathMessage {
  /// A datagram that is not transport data, in the length of a handshake message or a cookie reply.
  case handshake([UInt8], from: SocketAddress)
  /// A datagram that looks like a disco message, or like one of STUN. It proves nothing.
  case disco([UInt8], from: SocketAddress)
  case stun([UInt8], from: SocketAddress)
  /// An IP packet of protocol 99, by which the peer tells this machine something. It is authenticated, and its source is the peer's.
  case notice([UInt8], from: PeerID)
  case event(Event)
  /// A sealed packet that has to go to the peer over a relay. The bytes are there during the call.
  case relayed(UnsafeRawBufferPointer, to: PeerID)
  /// The TUN is gone: somebody deleted the interface. The error number tells.
  case deviceLost(CInt)
}

/// The queues between the data thread and the control side, one per purpose: a flood of handshake messages, of disco, or of packets
/// that wait cannot push out an event, nor one of the others. Of one peer there are a few events a second, however much it sends; one that
/// finds no room all the same is told with a later packet.
final class ControlRings: Sendable {
  let sendEvents = PacketRing(capacity: 1 << 16)
  let receiveEvents = PacketRing(capacity: 1 << 16)
  let handshakes = PacketRing(capacity: 1 << 18)
  /// Disco, STUN, and notices of peers.
  let probes = PacketRing(capacity: 1 << 16)
  let waiting = PacketRing(capacity: 1 << 19)
  /// Sealed packets for relays: what a relay takes in a few milliseconds, since whoever sends waits behind all of it.
  let relayed = PacketRing(capacity: 1 << 18)
  /// From the control side: what must be sealed.
  let requests = PacketRing(capacity: 1 << 20)
  /// From relays: what must be opened.
  let fromRelays = PacketRing(capacity: 1 << 19)
}

/// The kinds of ring records, and how they are read back.
enum RecordKind {
  static let handshake: UInt32 = 1
  static let confirmed: UInt32 = 2
  static let sourceChanged: UInt32 = 3
  static let dataSent: UInt32 = 4
  static let dataReceived: UInt32 = 5
  static let wantsRekey: UInt32 = 6
  static let packetWithoutSession: UInt32 = 7
  static let deviceLost: UInt32 = 8
  static let disco: UInt32 = 9
  static let stun: UInt32 = 10
  static let relayed: UInt32 = 11
  static let notice: UInt32 = 12

  /// What a cookie reply, the shortest of them, takes in the ring of handshake messages.
  static let leastHandshakeSpace = Int(PacketRing.space(MemoryLayout<clinux_address>.size + 64))

  /// From the control side: seal the payload for the peer `subject`. An empty payload is a keepalive.
  static let seal: UInt32 = 1
  /// From a relay: open the payload.
  static let open: UInt32 = 2

  /// Record payloads are made by the data thread alone, so a record that cannot be read is a broken invariant.
  static func message(_ header: PacketRing.Header, _ payload: UnsafeRawBufferPointer) -> DataPathMessage {
    let peer = PeerID(header.subject)
    switch header.kind {
    case handshake:
      return .handshake(datagram(payload), from: address(payload))
    case disco:
      return .disco(datagram(payload), from: address(payload))
    case stun:
      return .stun(datagram(payload), from: address(payload))
    case relayed:
      return .relayed(payload, to: peer)
    case notice:
      return .notice(Array(payload), from: peer)
    case confirmed:
      return .event(.confirmed(SessionID(header.value), peer: peer))
    case sourceChanged:
      return .event(.sourceChanged(peer, address(payload)))
    case dataSent:
      return .event(.dataSent(peer, at: Instant(nanoseconds: header.value)))
    case dataReceived:
      return .event(.dataReceived(peer, at: Instant(nanoseconds: header.value)))
    case wantsRekey:
      return .event(.wantsRekey(SessionID(header.value), peer: peer))
    case packetWithoutSession:
      let unusable = header.value == 0 ? nil : SessionID(header.value)
      return .event(.packetWithoutSession(peer, packet: Array(payload), unusable: unusable))
    case deviceLost:
      return .deviceLost(CInt(truncatingIfNeeded: header.detail))
    default:
      preconditionFailure("the data thread writes no record of kind \(header.kind)")
    }
  }

  /// What stands behind the address.
  private static func datagram(_ payload: UnsafeRawBufferPointer) -> [UInt8] {
    Array(payload[MemoryLayout<clinux_address>.size...])
  }

  private static func address(_ payload: UnsafeRawBufferPointer) -> SocketAddress {
    guard let address = payload.loadUnaligned(as: clinux_address.self).socketAddress else {
      preconditionFailure("the data thread reports only addresses of IP families")
    }
    return address
  }
}
