import DequeModule

/// Packets that wait for a session. The oldest goes when there are too many: a newer one is worth more to those who wait.
struct StagedPackets: Sendable {
  /// With segmentation offload one packet may have 64 KiB.
  static let maximumBytes = 1 << 20

  private var packets: Deque<[UInt8]> = []
  private var bytes = 0

  var isEmpty: Bool { packets.isEmpty }
  var count: Int { packets.count }

  mutating func append(_ packet: [UInt8]) {
    packets.append(packet)
    bytes += packet.count
    while packets.count > ProtocolConstants.maximumStagedPackets
      || (bytes > StagedPackets.maximumBytes && packets.count > 1)
    {
      bytes -= packets.removeFirst().count
    }
  }

  mutating func takeAll() -> [[UInt8]] {
    defer {
      packets.removeAll()
      bytes = 0
    }
    return Array(packets)
  }
}
