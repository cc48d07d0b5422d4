import TestSupport
import Testing
import Traversal
import Wire

@Suite("comparing paths")
struct PathQualityTests {
  private static let vectors = "engine/better_addr.json"

  @Test(
    "the better of two is the one that others take",
    .enabled(if: Fixtures.have(vectors), Comment(rawValue: Fixtures.skipped)))
  func better() throws {
    func quality(_ value: JSONValue?) throws -> PathQuality? {
      guard let value, value != .null else { return nil }
      return PathQuality(
        address: try #require(value["addr"]?.string.flatMap { SocketAddress($0) }),
        latency: .milliseconds(value["latency_ms"]?.integer ?? 0), wireMTU: Int(value["wire_mtu"]?.integer ?? 0))
    }
    var count = 0
    for vector in try Fixtures.json(Self.vectors)["cases"]?.array ?? [] {
      // Relays over UDP are not spoken.
      if vector["a"]?["relay_vni"] != nil || vector["b"]?["relay_vni"] != nil { continue }
      guard let a = try quality(vector["a"]) else { continue }
      let b = try quality(vector["b"])
      #expect(a.isBetter(than: b) == vector["want"]?.bool, "\(vector)")
      if vector["want"]?.bool == true, let b { #expect(!b.isBetter(than: a), "\(vector)") }
      count += 1
    }
    #expect(count >= 15)
  }
}
