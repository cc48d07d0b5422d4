import TestSupport
import Testing
import Wire
import WireGuard

@Suite("Allowed IPs") struct AllowedIPsTests {
  private func prefix(_ text: String) throws -> IPPrefix { try #require(IPPrefix(text)) }
  private func address(_ text: String) throws -> IPAddress { try #require(IPAddress(text)) }

  @Test("an empty table knows nobody")
  func empty() throws {
    let table = AllowedIPs().table()
    #expect(table.peer(of: try address("0.0.0.0")) == nil)
    #expect(table.peer(of: try address("255.255.255.255")) == nil)
    #expect(table.peer(of: try address("::")) == nil)
  }

  @Test("the longest prefix decides, whatever the order of insertion")
  func longestMatch() throws {
    let entries = [("0.0.0.0/0", 1), ("10.0.0.0/8", 2), ("10.1.0.0/16", 3), ("10.1.2.0/24", 4), ("10.1.2.3/32", 5)]
    for order in [entries, entries.reversed()] {
      var allowed = AllowedIPs()
      for (text, peer) in order { allowed.insert(try prefix(text), for: PeerID(UInt32(peer))) }
      let table = allowed.table()
      for (text, peer) in [
        ("10.1.2.3", 5), ("10.1.2.4", 4), ("10.1.2.2", 4), ("10.1.3.0", 3), ("10.2.0.0", 2), ("11.0.0.0", 1),
        ("9.255.255.255", 1), ("10.255.255.255", 2), ("0.0.0.0", 1), ("255.255.255.255", 1),
      ] {
        #expect(table.peer(of: try address(text)) == PeerID(UInt32(peer)), "\(text)")
      }
    }
  }

  @Test("families do not mix")
  func families() throws {
    var allowed = AllowedIPs()
    allowed.insert(try prefix("::/0"), for: PeerID(1))
    #expect(allowed.table().peer(of: try address("10.0.0.1")) == nil)
    #expect(allowed.table().peer(of: try address("::10.0.0.1")) == PeerID(1))
    allowed.insert(try prefix("fd00::/8"), for: PeerID(2))
    #expect(allowed.table().peer(of: try address("fdff:ffff::")) == PeerID(2))
    #expect(allowed.table().peer(of: try address("fe00::")) == PeerID(1))
  }

  @Test("a prefix inserted for another peer moves, and goes with its last owner")
  func moving() throws {
    var allowed = AllowedIPs()
    let block = try prefix("192.168.0.0/16")
    allowed.insert(block, for: PeerID(1))
    allowed.insert(block, for: PeerID(2))
    #expect(allowed.prefixes(of: PeerID(1)).isEmpty && allowed.prefixes(of: PeerID(2)) == [block])
    allowed.remove([block], of: PeerID(1))
    #expect(allowed.table().peer(of: try address("192.168.1.1")) == PeerID(2))
    allowed.remove([block], of: PeerID(2))
    #expect(allowed.isEmpty)
  }

  @Test("blocks at both ends of the address space")
  func ends() throws {
    var allowed = AllowedIPs()
    for (number, text) in ["0.0.0.0/32", "255.255.255.255/32", "128.0.0.0/1", "::/128", "ffff::/16"].enumerated() {
      allowed.insert(try prefix(text), for: PeerID(UInt32(number)))
    }
    let table = allowed.table()
    #expect(table.peer(of: try address("0.0.0.0")) == PeerID(0))
    #expect(table.peer(of: try address("0.0.0.1")) == nil)
    #expect(table.peer(of: try address("255.255.255.255")) == PeerID(1))
    #expect(table.peer(of: try address("255.255.255.254")) == PeerID(2))
    #expect(table.peer(of: try address("::1")) == nil)
    #expect(table.peer(of: try address("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")) == PeerID(4))
  }

  @Test("it agrees with a plain list on random tables", arguments: 0..<12)
  func againstAList(number: UInt64) throws {
    let random = SeededRandom(0xa110_0000 + number)
    var allowed = AllowedIPs()
    var list: [(IPPrefix, PeerID)] = []
    // Few distinct bits, so that blocks nest and touch.
    func randomAddress() -> IPAddress {
      let low = random.uniform(below: 4) == 0 ? random.uint64() : random.uint64() & 0x0f0f_0003
      return random.uniform(below: 2) == 0
        ? IPAddress(v4: UInt32(truncatingIfNeeded: low))
        : IPAddress(v6: UInt128(low) << UInt128(random.uniform(below: 3) * 32))
    }
    for _ in 0..<(number < 2 ? 3 : 200) {
      let address = randomAddress()
      let length = Int(random.uniform(below: UInt64(address.family.bits + 1)))
      let prefix = try #require(IPPrefix(address, length: length))
      let peer = PeerID(UInt32(random.uniform(below: 9)))
      allowed.insert(prefix, for: peer)
      list.removeAll { $0.0 == prefix }
      list.append((prefix, peer))
    }
    let table = allowed.table()
    func check(_ address: IPAddress) {
      let expected = list.filter { $0.0.contains(address) }.max { $0.0.length < $1.0.length }?.1
      #expect(table.peer(of: address) == expected, "seed \(random.seed), \(address)")
    }
    for _ in 0..<2000 { check(randomAddress()) }
    for (prefix, _) in list {
      let first = prefix.address.value
      let last =
        first | (IPPrefix.mask(prefix.family, prefix.family.bits) & ~IPPrefix.mask(prefix.family, prefix.length))
      for value in [first, last, first &- 1, last &+ 1] {
        check(prefix.family == .v4 ? IPAddress(v4: UInt32(truncatingIfNeeded: value)) : IPAddress(v6: value))
      }
    }
  }
}
