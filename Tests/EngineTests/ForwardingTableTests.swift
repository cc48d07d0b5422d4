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
  @Test("finds every number it was made of and no other", arguments: [21, 22] as [UInt64])
  func numberMap(seed: UInt64) {
    let random = SeededRandom(seed)
    for count in [0, 1, 2, 3, 17, 1000] {
      var reference: [UInt32: UInt32] = [:]
      while reference.count < count {
        // Small numbers in a row and random ones: peers and session indices.
        let number = random.uniform(below: 2) == 0 ? UInt32(reference.count) : random.uint32()
        reference[number] = UInt32(reference.count)
      }
      let map = NumberMap(reference.map { ($0.key, $0.value) })
      defer { map.deallocate() }
      for (number, position) in reference { #expect(map[number] == position, "seed \(seed)") }
      for _ in 0..<200 {
        let number = random.uint32()
        #expect(map[number] == reference[number], "seed \(seed)")
      }
    }
  }

  @Test("keeps what its pointers lead to alive, and lets it go with itself")
  func lifetime() {
    weak var watched: PeerMemory?
    do {
      let memory = PeerMemory(PeerID(1))
      watched = memory
      let table = ForwardingTable(
        peers: [.init(memory: memory)], allowedIPs: AllowedIPs().table(), ownAddresses: [], filter: .denyAll)
      withExtendedLifetime(table) { #expect(watched != nil) }
    }
    #expect(watched == nil)
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
