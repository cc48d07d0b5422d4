import Cryptography
import Netmap
import TestSupport
import Testing
import Wire

@testable import Traversal

@Suite("a peer that answers no ping")
struct LastResortTests: FinderSuite {
  let world: FinderWorld
  private let other = SocketAddress("203.0.113.9:5000")!

  init() throws {
    world = try FinderWorld()
    _ = finder.apply(netmap([home]), now: start)
  }

  private func beats(until end: Instant, heardAt: Instant?) {
    while let due = finder.nextDeadline, due < end { _ = finder.advance(now: due) { _ in (due, heardAt) } }
  }

  @Test("its handshakes go where its pings go, once those had their time; without a relay at once")
  func addresses() {
    #expect(finder.lastResorts(to: peer.publicKey, now: start).isEmpty)
    _ = finder.wantsToSend(to: peer.publicKey, now: start)
    #expect(finder.lastResorts(to: peer.publicKey, now: start + .milliseconds(1900)).isEmpty)
    #expect(finder.lastResorts(to: peer.publicKey, now: start + .seconds(2)) == [home])
    _ = finder.setHasRelay(false, now: start)
    #expect(finder.lastResorts(to: peer.publicKey, now: start + .milliseconds(10)) == [home])
  }

  @Test("its handshakes share the rate of its pings")
  func rate() {
    let many = (0..<20).map { SocketAddress(IPAddress(v4: 0xcb00_7100 + UInt32($0)), port: 53) }
    _ = finder.apply(netmap(many), now: start)
    _ = finder.setHasRelay(false, now: start)
    let count = (0..<100).reduce(0) { sum, _ in sum + finder.lastResorts(to: peer.publicKey, now: start).count }
    #expect(count <= PathConstants.pingsPerSecondAndPeer)
  }

  @Test("where a handshake went through there is a way, with the relay beside it, until a ping is answered")
  func handshaken() throws {
    _ = finder.wantsToSend(to: peer.publicKey, now: start)
    let actions = finder.handshaken(peer.publicKey, with: other, now: start + .seconds(2))
    #expect(finder.route(to: peer.publicKey) == .both(other))
    #expect(finder.lastResorts(to: peer.publicKey, now: start + .seconds(3)).isEmpty)
    let ping = try #require(pings(actions).first)
    #expect(ping.to == other)
    _ = finder.receive(sealed(.pong(ping.id, source: home)), .datagram(from: other), now: start + .seconds(3))
    #expect(finder.route(to: peer.publicKey) == .direct(other))
  }

  @Test("a way that pings vouch for is not left for where a handshake went through")
  func trusted() throws {
    let ping = try #require(pings(finder.wantsToSend(to: peer.publicKey, now: start)).first)
    _ = finder.receive(sealed(.pong(ping.id, source: home)), .datagram(from: home), now: start + .milliseconds(20))
    #expect(finder.handshaken(peer.publicKey, with: other, now: start + .seconds(1)).isEmpty)
    #expect(finder.route(to: peer.publicKey) == .direct(home))
  }

  @Test("it stays the way as long as something comes over it, and is left when nothing does")
  func kept() {
    _ = finder.setHasRelay(false, now: start)
    _ = finder.wantsToSend(to: peer.publicKey, now: start)
    _ = finder.handshaken(peer.publicKey, with: other, now: start)
    #expect(finder.route(to: peer.publicKey) == .direct(other))
    let heardAt = start + .seconds(100)
    beats(until: heardAt, heardAt: heardAt - .seconds(1))
    #expect(finder.route(to: peer.publicKey) == .direct(other))
    beats(until: heardAt + .seconds(20), heardAt: heardAt)
    #expect(finder.route(to: peer.publicKey) == Route.none)
  }

  @Test(
    "addresses that are nobody's make no way", arguments: ["127.0.0.1:41641", "10.200.3.4:41641", "198.51.100.7:0"])
  func hygiene(text: String) throws {
    let address = try #require(SocketAddress(text))
    #expect(finder.handshaken(peer.publicKey, with: address, now: start).isEmpty)
  }
}
