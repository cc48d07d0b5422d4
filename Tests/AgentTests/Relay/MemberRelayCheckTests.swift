import Cryptography
import Mesh
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
