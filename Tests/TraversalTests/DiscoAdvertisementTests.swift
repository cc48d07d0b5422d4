import Cryptography
import TestSupport
import Testing
import Traversal
import Wire

@Suite("the disco key inside the tunnel")
struct DiscoAdvertisementTests {
  private static let vectors = "engine/tsmp_geneve.json"

  private static let samples = [("10.200.0.1", "10.200.0.2"), ("fd0d::1", "fd0d::2")].map { source, destination in
    DiscoAdvertisement(
      source: IPAddress(source)!, destination: IPAddress(destination)!,
      key: X25519PublicKey((0..<32).map { UInt8($0 + 7) })!)
  }

  @Test(
    "is written and read as by others", .enabled(if: Fixtures.have(vectors), Comment(rawValue: Fixtures.skipped)))
  func others() throws {
    let all = try Fixtures.json(Self.vectors)
    let advertisements = try #require(all["disco_advert"]?.array)
    #expect(!advertisements.isEmpty)
    for vector in advertisements {
      let packet = try #require(vector["packet"]?.string.flatMap { Hex.decode($0) })
      let advertisement = try DiscoAdvertisement(
        source: #require(vector["src"]?.string.flatMap { IPAddress($0) }),
        destination: #require(vector["dst"]?.string.flatMap { IPAddress($0) }),
        key: #require(vector["disco_key"]?.string.flatMap { Hex.decode($0) }.flatMap { X25519PublicKey($0) }))
      #expect(DiscoAdvertisement(packet: packet) == advertisement)
      #expect(advertisement.packet == packet)
    }
    for vector in all["tsmp"]?.array ?? [] {
      let packet = try #require(vector["packet"]?.string.flatMap { Hex.decode($0) })
      #expect(DiscoAdvertisement(packet: packet) == nil, "another message of the same protocol")
    }
  }

  @Test("comes back as it was written, and nothing shorter or longer is one", arguments: samples)
  func whole(sample: DiscoAdvertisement) {
    let packet = sample.packet
    #expect(DiscoAdvertisement(packet: packet) == sample)
    for count in 0..<packet.count { #expect(DiscoAdvertisement(packet: Array(packet[..<count])) == nil) }
    #expect(DiscoAdvertisement(packet: packet + [0]) == nil)
  }

  @Test("of another protocol, version or kind it is none", arguments: samples)
  func others(sample: DiscoAdvertisement) {
    let isIPv4 = sample.source.family == .v4
    for (index, value) in [(0, 0x75), (isIPv4 ? 9 : 6, 17), (isIPv4 ? 20 : 40, 0x62)] as [(Int, UInt8)] {
      var packet = sample.packet
      packet[index] = value
      #expect(DiscoAdvertisement(packet: packet) == nil)
    }
  }
}
