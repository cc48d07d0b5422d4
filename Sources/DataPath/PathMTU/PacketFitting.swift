import Glibc
import Wire
import WireGuard

/// What becomes of a packet that is longer than the way to its peer takes. Datagrams are never cut on their way: whoever loses one piece
/// loses all, and many a network lets no pieces through.
///
/// | packet | what is done |
/// |---|---|
/// | IPv4 with "don't fragment" | dropped; its sender is told the limit |
/// | IPv4 without | cut into fragments, each of which is sealed |
/// | IPv6 above 1280 | dropped; its sender is told 1280, the least that IPv6 knows |
/// | IPv6 up to 1280 | cut into fragments, as if its sender had, each of which is sealed |
///
/// The segments of a TCP super-packet do not come here: they are cut shorter (`SuperPacket.shorten`), and nothing is lost.
extension SendPath {
  /// Cuts the packet and sends the pieces, or drops it. `send` calls it for one that is too long.
  mutating func fit(
    _ packet: UnsafeMutableRawPointer, _ length: Int, to peer: UnsafePointer<ForwardingView.PeerEntry>, at now: Instant
  ) {
    let limit = peer.pointee.innerLimit
    guard let header = PacketHeader(packet, count: length) else { return drops.count(.outboundMalformed) }
    guard header.isIPv4 || header.length <= TooLongNotice.least6 else {
      return refuse(packet, header, limit: TooLongNotice.least6, for: peer, at: now)
    }
    fragmented &+= 1
    guard var fragments = PacketFragments(packet, header, limit: limit, identification: fragmented) else {
      return refuse(packet, header, limit: limit, for: peer, at: now)
    }
    while true {
      let length = fragments.next(into: inbox.piece)
      guard length > 0 else { return }
      send(inbox.piece, length, to: peer, at: now)
    }
  }

  /// Drops a packet, and tells its sender how long packets may be.
  private func refuse(
    _ packet: UnsafeMutableRawPointer, _ header: PacketHeader, limit: Int,
    for peer: UnsafePointer<ForwardingView.PeerEntry>, at now: Instant
  ) {
    drops.count(.packetTooLong)
    // Of IPv6 a limit below 1280 is nothing that could be told, and what is no longer would be cut if it could be.
    guard header.isIPv4 || limit >= TooLongNotice.least6 else { return }
    guard peer.pointee.words.pointee.notices.admits(at: now.nanoseconds) else { return }
    let length = TooLongNotice.write(about: packet, header, limit: limit, to: inbox.piece)
    guard length > 0 else { return }
    // One that the device does not take is like one that was lost: the next packet gets another.
    guard hasHeaders else {
      _ = write(tun, inbox.piece, length)
      return
    }
    let start = inbox.piece - VirtioHeader.length
    VirtioHeader().write(to: start)
    _ = write(tun, start, length &+ VirtioHeader.length)
  }
}
