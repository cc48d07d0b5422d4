import Cryptography
import Logging
import Mesh
import TestSupport
import Testing
import Wire

@testable import Agent

@Suite("What of a member's relay may be recorded")
struct MemberRelayCheckTests {
  private func offer(_ host: String?, _ ipv4: String?, _ ipv6: String?) -> RelayOffer {
    RelayOffer(
      host: host.flatMap { RelayHost($0) }, ipv4: ipv4.flatMap { IPAddress($0) }, ipv6: ipv6.flatMap { IPAddress($0) },
      port: 1, certSHA256: Bytes32([UInt8](repeating: 7, count: 32))!)
  }

  @Test(
    "an offer that names nothing but addresses inside somebody's network is not even tried",
    arguments: [
      "10.0.0.5", "127.0.0.1", "169.254.169.254", "0.0.0.0", "192.0.0.1", "198.18.0.1", "240.0.0.1", "100.64.0.1",
      "::1", "::ffff:10.0.0.5", "::ffff:127.0.0.1", "64:ff9b::a00:5", "fd00::1", "fe80::1", "ff02::1",
    ])
  func inside(text: String) async throws {
    let address = try #require(IPAddress(text))
    let isV4 = address.family == .v4
    #expect(await MemberRelayCheck.passing(offer(nil, isV4 ? text : nil, isV4 ? nil : text)) == nil)
    #expect(await MemberRelayCheck.passing(offer(text, nil, nil)) == nil)
  }

  /// A relay as a member runs it, on loopback, and what the member says of it.
  private func withRelay(_ body: (RelayOffer) async throws -> Void) async throws {
    let folder = TemporaryFolder()
    let relay = try MeshRelay(
      in: try StateDirectory(opening: folder.path), logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    try await relay.listen(on: [SocketAddress("127.0.0.1:0")!])
    let port = try #require(relay.listeners.first?.port)
    try await body(RelayOffer(ipv4: IPAddress("127.0.0.1"), port: port, certSHA256: relay.certificate))
    await relay.stop()
  }

  private static let anywhere: @Sendable (IPAddress) -> Bool = { _ in true }

  @Test("a relay that shows the certificate of the offer passes, under the addresses that lead to it and no others")
  func reached() async throws {
    try await withRelay { offer in
      #expect(await MemberRelayCheck.passing(offer, isPublic: Self.anywhere) == offer)
      var more = offer
      // Nobody listens there.
      more.host = RelayHost("127.0.0.2")
      more.ipv6 = IPAddress("::1")
      #expect(await MemberRelayCheck.passing(more, isPublic: Self.anywhere) == offer)
    }
  }

  @Test("a name is told only if all that it stands for is public, however many that are")
  func names() async throws {
    let (first, second) = (try #require(IPAddress("127.0.0.1")), try #require(IPAddress("127.0.0.2")))
    try await withRelay { offer in
      var named = offer
      named.host = RelayHost("relay.example.com")
      let onlyFirst: @Sendable (IPAddress) -> Bool = { $0 == first }
      #expect(await MemberRelayCheck.passing(named, isPublic: onlyFirst) { _ in [first] } == named)
      #expect(await MemberRelayCheck.passing(named, isPublic: onlyFirst) { _ in [first, second] } == offer)
      #expect(await MemberRelayCheck.passing(named, isPublic: Self.anywhere) { _ in [second, first] } == named)
      #expect(await MemberRelayCheck.passing(named, isPublic: Self.anywhere) { _ in [second] } == offer)
      #expect(await MemberRelayCheck.passing(named, isPublic: Self.anywhere) { _ in [] } == offer)
    }
  }

  @Test("a relay that shows another certificate, or that is not there, does not pass")
  func notReached() async throws {
    var closed: RelayOffer?
    try await withRelay { offer in
      closed = offer
      var other = offer
      other.certSHA256 = Bytes32([UInt8](repeating: 7, count: 32))!
      #expect(await MemberRelayCheck.passing(other, isPublic: Self.anywhere) == nil)
      #expect(await MemberRelayCheck.passing(offer) == nil, "it is on loopback")
    }
    #expect(await MemberRelayCheck.passing(try #require(closed), isPublic: Self.anywhere) == nil)
  }

  @Test("the addresses that passed are told, and the name if it leads to one of them")
  func part() throws {
    let (four, six) = (try #require(IPAddress("193.0.0.1")), try #require(IPAddress("2a00::1")))
    let whole = offer("relay.example.com", "193.0.0.1", "2a00::1")
    #expect(MemberRelayCheck.part(of: whole, [four], named: [four]) == offer("relay.example.com", "193.0.0.1", nil))
    #expect(MemberRelayCheck.part(of: whole, [six], named: [four]) == offer(nil, nil, "2a00::1"))
    #expect(MemberRelayCheck.part(of: whole, [], named: [four]) == nil)
    #expect(MemberRelayCheck.part(of: offer("193.0.0.1", nil, nil), [four], named: []) == offer("193.0.0.1", nil, nil))
    #expect(
      MemberRelayCheck.part(of: offer("193.0.0.1", nil, "2a00::1"), [six], named: []) == offer(nil, nil, "2a00::1"))
  }
}
