import CLinux
import Cryptography
import Glibc
import TestSupport
import Testing
import Wire
import WireGuard

@testable import DataPath

@Suite("the forwarding table")
struct ForwardingTableTests {
  /// Something at a place of its own.
  private final class Place: NumberMapEntry {
    let place = UnsafeMutableRawPointer.allocate(byteCount: 1, alignment: 1)
    deinit { place.deallocate() }
  }

  @Test("finds every number that it has and no other, however it came to them", arguments: [21, 22] as [UInt64])
  func numberMap(seed: UInt64) {
    let random = SeededRandom(seed)
    for count in [0, 1, 2, 3, 17, 1000] {
      var reference: [UInt32: Place] = [:]
      while reference.count < count {
        // Small numbers in a row and random ones: peers and session indices.
        let number = random.uniform(below: 2) == 0 ? UInt32(reference.count) : random.uint32()
        reference[number] = Place()
      }
      var map = NumberMap(reference.map { ($0.key, $0.value) })
      for _ in 0..<20 {
        let before = (map: map, reference: reference)
        let removed = reference.keys.filter { _ in random.uniform(below: 10) == 0 } + [random.uint32()]
        let added =
          (0..<random.uniform(below: 100)).map { _ in (random.uint32(), Place()) }
          + reference.keys.prefix(3).map { ($0, Place()) }
        for number in removed { reference[number] = nil }
        for (number, place) in added { reference[number] = place }
        map.change(removing: removed, adding: added.map { ($0.0, $0.1) })
        expect(map, is: reference, random)
        // Who has the former one does not see the change.
        expect(before.map, is: before.reference, random)
      }
    }
  }

  private func expect(_ map: NumberMap, is reference: [UInt32: Place], _ random: SeededRandom) {
    let view = map.makeView()
    defer { view.deallocate() }
    #expect(map.count == reference.count)
    for (number, entry) in reference { #expect(view[number] == entry.place) }
    for _ in 0..<100 {
      let number = random.uint32()
      #expect(view[number] == reference[number]?.place)
    }
  }

  private let nothing = ForwardingTable.Policy(allowedIPs: AllowedIPs().table(), ownAddresses: [], filter: .denyAll)

  @Test("keeps what its pointers lead to alive, and lets it go with itself")
  func lifetime() {
    weak var watched: PeerMemory?
    do {
      let memory = PeerMemory(PeerID(1))
      watched = memory
      let table = ForwardingTable(peers: [.init(memory: memory)], policy: nothing)
      withExtendedLifetime(table) { #expect(watched != nil) }
    }
    #expect(watched == nil)
  }

  @Test("a changed table has the new sessions of a peer and not its old ones, and the former table still has those")
  func changes() {
    func session(_ index: UInt32, _ peer: UInt32) -> SessionMemory {
      let key = SecretBytes([UInt8](repeating: UInt8(index), count: 32))
      return SessionMemory(
        Session(
          id: SessionID(UInt64(index)), peer: PeerID(peer), role: .initiator, localIndex: index, remoteIndex: 1,
          establishedAt: Instant(nanoseconds: 1)), keys: SessionKeys(send: key, receive: key))
    }
    let memories = [PeerMemory(PeerID(1)), PeerMemory(PeerID(2))]
    let table = ForwardingTable(
      peers: [
        .init(memory: memories[0], opening: [session(10, 1), session(11, 1)]),
        .init(memory: memories[1], opening: [session(20, 2)]),
      ], policy: nothing)
    let next = table.changed([
      PeerID(1): .init(memory: memories[0], opening: [session(11, 1), session(12, 1)]), PeerID(2): nil,
    ])
    func found(_ table: ForwardingTable) -> [UInt32] {
      [10, 11, 12, 20].filter { table.view.pointee.session(index: $0) != nil }
    }
    #expect(found(table) == [10, 11, 20])
    #expect(found(next) == [11, 12])
    #expect(table.view.pointee.peer(number: 2) != nil && next.view.pointee.peer(number: 2) == nil)
    withExtendedLifetime((table, next)) {}
  }

  @Test(
    "an address survives the way through the kernel's form",
    arguments: ["192.0.2.1:51820", "255.255.255.255:65535", "[2001:db8::1]:1", "[::ffff:192.0.2.1]:41641"])
  func kernelAddress(text: String) throws {
    let address = try #require(SocketAddress(text))
    var kernel = clinux_address(address)
    #expect(kernel.socketAddress == address)
    var same = clinux_address(address)
    var other = clinux_address(SocketAddress(address.ip, port: address.port ^ 1))
    #expect(sameAddress(&kernel, &same))
    #expect(!sameAddress(&kernel, &other))
    var none = clinux_address()
    #expect(none.socketAddress == nil && none.length == 0)
    #expect(!sameAddress(&kernel, &none))
  }
}
