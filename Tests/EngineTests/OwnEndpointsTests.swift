import Cryptography
import Netmap
import Testing
import Wire

@testable import Engine

@Suite("where a machine says that it is")
struct OwnEndpointsTests {
  private let start = Instant(nanoseconds: 1_000_000_000_000)

  private func address(_ text: String) -> SocketAddress { SocketAddress(text)! }

  @Test("what a gateway maps comes first, then what others saw, then the host's own; each once")
  func order() {
    let mapped = Reach.Endpoint(address("203.0.113.1:5000"), .pcp)
    let list = OwnEndpoints.list(
      mapped: [mapped], seen: [address("203.0.113.1:41000"), address("198.51.100.1:41641")],
      host: [address("198.51.100.1:41641"), address("192.168.1.2:41641")], hygiene: EndpointHygiene(meshPrefixes: []))
    #expect(
      list == [
        mapped, .init(address("203.0.113.1:41000"), .stun), .init(address("198.51.100.1:41641"), .stun),
        .init(address("192.168.1.2:41641"), .host),
      ])
  }

  @Test("nothing of the mesh and nothing that leads nowhere is in it, and no more than a record has room for")
  func bounds() {
    let seen = (1...40).map { address("203.0.113.\($0):41641") } + [address("127.0.0.1:5"), address("10.200.0.9:5")]
    let host = (1...40).map { address("192.168.1.\($0):41641") }
    let list = OwnEndpoints.list(
      mapped: [], seen: seen.reversed(), host: host,
      hygiene: EndpointHygiene(meshPrefixes: [IPPrefix("10.200.0.0/16")!]))
    #expect(list.count == 8 + 12)
    #expect(!list.map(\.address).contains(address("10.200.0.9:5")))
  }

  @Test("an address that was seen is kept for five minutes, the latest first, and of one address a few ports")
  func seen() {
    var seen = SeenAddresses()
    seen.note([address("203.0.113.1:1")], at: start)
    seen.note([address("203.0.113.2:2")], at: start + .seconds(200))
    #expect(
      seen.addresses(at: start + .seconds(200)) == [address("203.0.113.2:2"), address("203.0.113.1:1")])
    #expect(seen.addresses(at: start + .seconds(320)) == [address("203.0.113.2:2")])
    for port in 1...50 as ClosedRange<UInt16> {
      seen.note([SocketAddress(IPAddress("203.0.113.3")!, port: port)], at: start + .seconds(300 + Int(port)))
    }
    let ports = seen.addresses(at: start + .seconds(351)).filter { $0.ip == IPAddress("203.0.113.3")! }.map(\.port)
    #expect(ports == [50, 49, 48, 47, 46, 45])
  }

  @Test("what peers see counts by its last word, and two of them tell how the NAT maps")
  func witnesses() {
    let keys = (0...2).map { _ in X25519PrivateKey(random: SystemRandom()).publicKey }
    var witnesses = PeerWitnesses()
    let first = witnesses.note(address("203.0.113.1:1"), by: keys[0], at: start)
    #expect(first)
    let again = witnesses.note(address("203.0.113.1:1"), by: keys[0], at: start)
    #expect(!again)
    #expect(witnesses.mapping == nil)
    let second = witnesses.note(address("203.0.113.1:2"), by: keys[1], at: start)
    #expect(second)
    #expect(witnesses.mapping == .endpointDependent)
    let changed = witnesses.note(address("203.0.113.1:1"), by: keys[1], at: start)
    #expect(changed)
    #expect(witnesses.mapping == .endpointIndependent)
    #expect(witnesses.addresses == [address("203.0.113.1:1")])
    let lie = witnesses.note(address("203.0.113.66:6"), by: keys[2], at: start)
    #expect(lie)
    #expect(witnesses.mapping == .endpointIndependent && witnesses.addresses.first == address("203.0.113.1:1"))
    for _ in 0..<100 {
      _ = witnesses.note(address("203.0.113.9:9"), by: X25519PrivateKey(random: SystemRandom()).publicKey, at: start)
    }
    #expect(witnesses.addresses == [address("203.0.113.9:9")])
  }
}
