import Cryptography
import DequeModule
import NIOCore

/// A packet that waits at a relay connection, and whose it is: who sent it, or whom it is for.
struct WaitingPacket: Hashable, Sendable {
  let peer: X25519PublicKey
  let bytes: ByteBuffer

  /// What it takes in memory, at most: its bytes as they are allocated, and what belongs to it besides.
  var cost: Int { bytes.storageCapacity + 256 }

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
    private(set) var cost = 0

    mutating func append(_ packet: WaitingPacket, _ limits: RelayLimits, _ room: Int) -> Int {
      var dropped = 0
      packets.append(packet)
      bytes += packet.bytes.readableBytes
      cost += packet.cost
      while packets.count > limits.queuedPackets || (bytes > limits.queuedBytes && packets.count > 1) || cost > room,
        take() != nil
      {
        dropped += 1
      }
      return dropped
    }

    mutating func take() -> WaitingPacket? {
      guard let packet = packets.popFirst() else { return nil }
      bytes -= packet.bytes.readableBytes
      cost -= packet.cost
      return packet
    }
  }

  private var data = Line()
  private var disco = Line()
  private var takesDiscoNext = true

  var isEmpty: Bool { data.packets.isEmpty && disco.packets.isEmpty }

  /// What all of them take in memory.
  var cost: Int { data.cost + disco.cost }

  /// How many packets were dropped for it.
  ///
  /// - Parameter room: how much memory its line may take.
  mutating func append(
    _ packet: WaitingPacket, isDisco: Bool, _ limits: RelayLimits, room: Int = .max
  ) -> Int {
    isDisco ? disco.append(packet, limits, room) : data.append(packet, limits, room)
  }

  /// Of the two lines in turn, so that neither starves the other.
  mutating func take() -> WaitingPacket? {
    takesDiscoNext.toggle()
    return takesDiscoNext ? disco.take() ?? data.take() : data.take() ?? disco.take()
  }
}
