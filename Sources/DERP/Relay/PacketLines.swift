import Cryptography
import DequeModule
import NIOCore

/// A packet that waits at a relay connection, and whose it is: who sent it, or whom it is for.
struct WaitingPacket: Hashable, Sendable {
  let peer: X25519PublicKey
  let bytes: ByteBuffer

  private static let discoMagic: [UInt8] = [0x54, 0x53, 0xf0, 0x9f, 0x92, 0xac]
  private static let shortestDisco = 62

  /// Path discovery and not data, by its first bytes.
  static func isDisco(_ bytes: ByteBuffer) -> Bool {
    bytes.readableBytes >= shortestDisco && bytes.readableBytesView.starts(with: discoMagic)
  }
}

/// Packets that wait for one connection in two lines, so that path discovery gets through beside data. A line that is full loses its
/// oldest packet: what is fresh is worth more.
struct PacketLines: Sendable {
  private struct Line: Sendable {
    private(set) var packets: Deque<WaitingPacket> = []
    private var bytes = 0

    mutating func append(_ packet: WaitingPacket, _ limits: RelayLimits) -> Int {
      var dropped = 0
      packets.append(packet)
      bytes += packet.bytes.readableBytes
      while packets.count > limits.queuedPackets || (bytes > limits.queuedBytes && packets.count > 1) {
        bytes -= packets.removeFirst().bytes.readableBytes
        dropped += 1
      }
      return dropped
    }

    mutating func take() -> WaitingPacket? {
      guard let packet = packets.popFirst() else { return nil }
      bytes -= packet.bytes.readableBytes
      return packet
    }
  }

  private var data = Line()
  private var disco = Line()
  private var takesDiscoNext = true

  var isEmpty: Bool { data.packets.isEmpty && disco.packets.isEmpty }

  /// How many packets were dropped for it.
  mutating func append(_ packet: WaitingPacket, isDisco: Bool, _ limits: RelayLimits) -> Int {
    isDisco ? disco.append(packet, limits) : data.append(packet, limits)
  }

  /// Of the two lines in turn, so that neither starves the other.
  mutating func take() -> WaitingPacket? {
    takesDiscoNext.toggle()
    return takesDiscoNext ? disco.take() ?? data.take() : data.take() ?? disco.take()
  }
}
