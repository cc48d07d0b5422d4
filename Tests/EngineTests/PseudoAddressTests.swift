import Cryptography
import DataPath
import Testing
import Wire
import WireGuard

@testable import Engine

@Suite("handshakes of peers whose way changes")
struct PseudoAddressTests {
  private let start = Instant(nanoseconds: 1_000_000_000)

  @Test("an address stands for a peer, and no address of a machine does")
  func roundTrip() {
    for number in [1, 7, UInt32.max] {
      #expect(PseudoAddress.peer(PseudoAddress.of(PeerID(number))) == PeerID(number))
    }
    for text in ["192.0.2.1:1", "[2001:db8::1]:1", "[101::1]:1", "[100:0:0:1::1]:1"] {
      #expect(SocketAddress(text).flatMap { PseudoAddress.peer($0) } == nil)
    }
    #expect(PseudoAddress.isPseudo(IPAddress("100::1:2:3:4")!))
  }

  @Test("the newest initiation is held for five seconds, and given out once")
  func held() {
    var held = HeldHandshakes()
    held.hold([1], for: PeerID(1), at: start)
    held.hold([2], for: PeerID(1), at: start + .seconds(1))
    held.hold([3], for: PeerID(2), at: start)
    let taken = [PeerID(1), PeerID(1), PeerID(2)].map { held.take($0, at: start + .seconds(5)) }
    #expect(taken == [[2], nil, nil])
    held.hold([4], for: PeerID(3), at: start)
    held.forget(PeerID(3))
    let forgotten = held.take(PeerID(3), at: start)
    #expect(forgotten == nil)
  }

  @Test("packets of a relay are told apart by their first bytes and their length")
  func kinds() {
    func kind(_ start: [UInt8], _ length: Int) -> RelayedKind {
      (start + [UInt8](repeating: 0, count: length - start.count)).withUnsafeBytes { RelayedKind($0) }
    }
    let disco: [UInt8] = [0x54, 0x53, 0xf0, 0x9f, 0x92, 0xac]
    #expect(kind(disco, 124) == .disco && kind(disco, 61) == .other)
    #expect(kind([4, 0, 0, 0], 32) == .transport && kind([4, 0, 0, 0], 31) == .other)
    #expect(kind([1, 0, 0, 0], 148) == .handshake && kind([1, 0, 0, 0], 149) == .other)
    #expect(kind([2, 0, 0, 0], 92) == .handshake && kind([3, 0, 0, 0], 64) == .handshake)
    #expect(kind([2, 0, 1, 0], 92) == .other && kind([9], 1) == .other)
    #expect(kind([], 0) == .other)
  }
}
