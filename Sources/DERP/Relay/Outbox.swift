import Cryptography
import Wire

/// What waits to be written to one client of a relay: packets, and the relay's own few words.
struct Outbox: Sendable {
  private var packets = PacketLines()
  private var pong: UInt64?
  private var gone: [X25519PublicKey: DERPFrame.PeerGoneReason] = [:]
  private var owesKeepAlive = false

  private static let costOfGone = 128

  /// What it takes in memory.
  var cost: Int { packets.cost + gone.count * Self.costOfGone }

  var isEmpty: Bool { packets.isEmpty && pong == nil && gone.isEmpty && !owesKeepAlive }

  /// How many packets were dropped for it.
  mutating func append(_ packet: WaitingPacket, isDisco: Bool, _ limits: RelayLimits, room: Int) -> Int {
    packets.append(packet, isDisco: isDisco, limits, room: room)
  }

  /// The last one asked for is answered.
  mutating func answerPing(_ number: UInt64) { pong = number }

  mutating func tellGone(
    _ key: X25519PublicKey, _ reason: DERPFrame.PeerGoneReason, _ limits: RelayLimits, room: Int
  ) {
    guard gone[key] != nil || (gone.count < limits.watchedPeers && room > Self.costOfGone) else { return }
    gone[key] = reason
  }

  mutating func keepAlive() { owesKeepAlive = true }

  mutating func next() -> DERPFrame? {
    if let number = pong {
      pong = nil
      return .pong(number)
    }
    if let (key, reason) = gone.first {
      gone[key] = nil
      return .peerGone(key, reason)
    }
    if let packet = packets.take() {
      // Something else shows that the connection lives.
      owesKeepAlive = false
      return .receivedPacket(from: packet.peer, packet.bytes)
    }
    guard owesKeepAlive else { return nil }
    owesKeepAlive = false
    return .keepAlive
  }
}
