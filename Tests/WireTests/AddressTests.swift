import Testing
import TestSupport
import Wire

@Suite("Addresses")
struct AddressTests {
  @Test(
    "an address is written in its one form",
    arguments: [
      ("0.0.0.0", "0.0.0.0"), ("255.255.255.255", "255.255.255.255"), ("::", "::"), ("::1", "::1"),
      ("2001:DB8:0:0:0:0:0:1", "2001:db8::1"), ("2001:db8::0:1", "2001:db8::1"), ("1:0:0:2:0:0:0:3", "1:0:0:2::3"),
      ("1:0:2:3:4:5:6:7", "1:0:2:3:4:5:6:7"), ("::ffff:192.0.2.1", "::ffff:192.0.2.1"),
      ("fd0d:e100:d3c5:1:71a7:88b2:15ce:184d", "fd0d:e100:d3c5:1:71a7:88b2:15ce:184d"),
    ])
  func form(text: String, canonical: String) throws {
    #expect(try #require(IPAddress(text)).description == canonical)
  }

  @Test(
    "a text that is not exactly an address is refused",
    arguments: [
      "", " 1.2.3.4", "1.2.3.4 ", "1.2.3", "1.2.3.4.5", "256.0.0.1", "01.2.3.4", "1.2.3.04", "0x1.2.3.4", "1.2.3.4/8",
      ":",
      ":::", "1::2::3", "12345::", "::1%eth0", "[::1]", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "::1.2.3.256",
      "1.2.3.4\0",
      "::g", "localhost", "１.2.3.4",
    ])
  func refused(text: String) {
    #expect(IPAddress(text) == nil)
  }

  @Test("every address comes back from its text and from its bytes")
  func roundTrip() {
    let random = SeededRandom(.random(in: 0...(.max)))
    for _ in 0..<2000 {
      var bytes = random.bytes(random.uniform(below: 2) == 0 ? 4 : 16)
      for index in bytes.indices where random.uniform(below: 2) == 0 { bytes[index] = 0 }
      let address = IPAddress(bytes: bytes)
      #expect(address?.bytes == bytes, "seed \(random.seed)")
      #expect(address.flatMap { IPAddress($0.description) } == address, "seed \(random.seed)")
    }
    #expect(IPAddress(bytes: [1, 2, 3]) == nil)
    #expect(IPAddress(bytes: [UInt8](repeating: 0, count: 15)) == nil)
  }

  @Test("kinds of addresses are told apart at the edges of their blocks")
  func kinds() throws {
    func address(_ text: String) throws -> IPAddress { try #require(IPAddress(text)) }
    for text in [
      "10.0.0.0", "10.255.255.255", "172.16.0.0", "172.31.255.255", "192.168.0.1", "100.64.0.0", "100.127.255.255",
      "fc00::",
      "fdff::1",
    ] {
      #expect(try address(text).isPrivate, "\(text)")
    }
    for text in [
      "9.255.255.255", "11.0.0.0", "172.15.255.255", "172.32.0.0", "100.63.255.255", "100.128.0.0", "fbff::", "fe00::",
    ] {
      #expect(try !address(text).isPrivate, "\(text)")
    }
    #expect(try address("127.255.0.1").isLoopback && address("::1").isLoopback && !address("128.0.0.1").isLoopback)
    #expect(try address("169.254.9.9").isLinkLocal && address("fe80::1").isLinkLocal && address("febf::").isLinkLocal)
    #expect(try !address("fec0::").isLinkLocal && !address("169.255.0.0").isLinkLocal)
    #expect(try address("224.0.0.1").isMulticast && address("239.1.1.1").isMulticast && address("ff02::1").isMulticast)
    #expect(try !address("240.0.0.1").isMulticast && !address("fe02::1").isMulticast)
    #expect(try address("0.0.0.0").isUnspecified && address("::").isUnspecified)
    #expect(try address("::ffff:10.1.2.3").unmapped == address("10.1.2.3"))
    #expect(try address("::fffe:10.1.2.3").unmapped == address("::fffe:10.1.2.3"))
  }

  @Test(
    "private is what lies within one block of private addresses, whole",
    arguments: [
      ("10.0.0.0/8", true), ("10.0.0.0/7", false), ("172.16.0.0/12", true), ("172.16.0.0/11", false),
      ("192.168.0.0/16", true), ("192.168.0.0/15", false), ("100.64.0.0/10", true), ("100.0.0.0/8", false),
      ("fc00::/7", true), ("fc00::/6", false), ("fd00::1/128", true), ("0.0.0.0/0", false), ("::/0", false),
      ("10.1.2.3/32", true), ("203.0.113.0/24", false), ("2001:db8::/32", false),
    ])
  func privateNetworks(text: String, isPrivate: Bool) {
    #expect(IPPrefix(text)?.isPrivate == isPrivate)
  }

  @Test("IPv4 sorts before IPv6, and both by number")
  func order() {
    let sorted = ["::", "9.0.0.1", "10.0.0.1", "::1", "0.0.0.0"].compactMap { IPAddress($0) }.sorted()
    #expect(sorted.map(\.description) == ["0.0.0.0", "9.0.0.1", "10.0.0.1", "::", "::1"])
  }

  @Test(
    "a prefix clears its host bits",
    arguments: [
      ("10.200.221.172/16", "10.200.0.0/16"), ("1.2.3.4", "1.2.3.4/32"), ("1.2.3.4/0", "0.0.0.0/0"), ("::1", "::1/128"),
      ("fd0d:e100:d3c5:1:71a7::9/64", "fd0d:e100:d3c5:1::/64"), ("ffff::/1", "8000::/1"),
    ])
  func prefix(text: String, canonical: String) throws {
    let prefix = try #require(IPPrefix(text))
    #expect(prefix.description == canonical)
    #expect(IPPrefix(canonical) == prefix)
  }

  @Test(
    "a text that is not a prefix is refused",
    arguments: [
      "", "/", "/8", "10.0.0.0/", "10.0.0.0/33", "::/129", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/8/8", "10.0.0.0/ 8",
      "10/8",
    ])
  func notPrefix(text: String) {
    #expect(IPPrefix(text) == nil)
  }

  @Test("containing agrees with comparing bit by bit")
  func containment() throws {
    let random = SeededRandom(.random(in: 0...(.max)))
    for _ in 0..<2000 {
      let width = random.uniform(below: 2) == 0 ? 4 : 16
      let one = random.bytes(width)
      var other = one
      let flipped = Int(random.uniform(below: UInt64(width * 8)))
      other[flipped / 8] ^= 0x80 >> (flipped % 8)
      let length = Int(random.uniform(below: UInt64(width * 8 + 1)))
      let base = try #require(IPAddress(bytes: one))
      let changed = try #require(IPAddress(bytes: other))
      let prefix = try #require(IPPrefix(base, length: length))
      #expect(prefix.contains(base), "seed \(random.seed)")
      #expect(prefix.contains(changed) == (flipped >= length), "seed \(random.seed)")
    }
    let four = try #require(IPPrefix("0.0.0.0/0"))
    #expect(!four.contains(try #require(IPAddress("::"))))
    #expect(try #require(IPPrefix("10.0.0.0/8")).contains(try #require(IPPrefix("10.1.0.0/16"))))
    #expect(try !#require(IPPrefix("10.1.0.0/16")).contains(try #require(IPPrefix("10.0.0.0/8"))))
  }

  @Test(
    "a socket address comes back from its text",
    arguments: ["192.0.2.1:0", "0.0.0.0:65535", "[2001:db8::1]:51820", "[::]:1"])
  func socket(text: String) throws {
    #expect(try #require(SocketAddress(text)).description == text)
  }

  @Test(
    "a text that is not a socket address is refused",
    arguments: [
      "", ":", "1.2.3.4", "1.2.3.4:", "1.2.3.4:65536", "1.2.3.4:-1", "1.2.3.4:+1", "::1:80", "[::1]", "[::1]80",
      "[::1:80",
      "[1.2.3.4]:80", "host:80", "1.2.3.4: 80", "[::1%lo]:80", "[]:80",
    ])
  func notSocket(text: String) {
    #expect(SocketAddress(text) == nil)
  }
}
