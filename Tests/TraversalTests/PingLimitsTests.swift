import Cryptography
import Netmap
import TestSupport
import Testing
import Wire

@testable import Traversal

/// How often a finder pings, and what it pings first (`reach.md` 5, "Hygiene").
@Suite("how many pings are sent, and what for")
struct PingLimitsTests: FinderSuite {
  let world: FinderWorld

  init() throws {
    world = try FinderWorld()
    _ = finder.apply(netmap([home]), now: start)
  }

  private func pong(_ ping: (id: TransactionID, to: SocketAddress, length: Int), at now: Instant) {
    _ = finder.receive(sealed(.pong(ping.id, source: home)), .datagram(from: ping.to), now: now)
  }

  private func makeDirect() throws {
    pong(try #require(pings(finder.wantsToSend(to: peer.publicKey, now: start)).first), at: start + .milliseconds(20))
    #expect(finder.route(to: peer.publicKey) == .direct(home))
  }

  @Test("a rate holds for any second, also the first and those across a border", arguments: [1, 3, 40], [0, 7])
  func window(limit: Int, reserve: Int) {
    var window = RateWindow(limit: limit)
    var taken: [Instant] = []
    for step in 0..<3000 {
      let now = start + .milliseconds(Int64(step))
      for _ in 0...limit where window.take(leaving: reserve, at: now) { taken.append(now) }
      #expect(window.hasRoom(leaving: reserve, at: now) == false)
    }
    #expect(taken.count == 3 * max(0, limit - reserve))
    for time in taken { #expect(taken.count { $0 >= time && $0 - time < .seconds(1) } <= limit - reserve) }
  }

  @Test("whoever names many addresses leaves room for the pings of its own way in use")
  func ownWayFirst() throws {
    let many = (0..<40).map { SocketAddress(IPAddress(v4: 0xcb00_7101), port: 5000 + $0) }
    try makeDirect()
    let now = start + .seconds(2)
    _ = finder.apply(netmap([home] + many[..<19]), now: now)
    let call = sealed(.callMeMaybe([home] + many[19..<38]))
    let sent = pings(finder.receive(call, .relayed(from: peer.publicKey), now: now))
    #expect(sent.count == PathConstants.pingsPerSecondAndPeer - PathConstants.pingsKeptForWay)
    #expect(sent.contains { $0.to == home }, "a call puts the way to the test")
    #expect(pings(finder.heardOverRelay(peer.publicKey, now: now)).map(\.to) == [home])
  }

  @Test("those who name many addresses leave room for the pings of ways in use to others")
  func waysInUseFirst() throws {
    let others = (0..<30).map { number in
      Peer(
        key: X25519PrivateKey(random: random).publicKey, name: "\(number)", addresses: [], allowedIPs: [],
        endpoints: (0..<20).map { SocketAddress(IPAddress(v4: 0xcb00_7100 + UInt32(number * 20 + $0)), port: 1) },
        discoKey: X25519PrivateKey(random: random).publicKey)
    }
    var netmap = netmap([home])
    netmap.peers += others
    _ = finder.apply(netmap, now: start)
    try makeDirect()
    let now = start + .seconds(2)
    var count = 0
    for other in others {
      count += finder.wantsToSend(to: other.key, now: now).count { if case .send = $0 { true } else { false } }
    }
    #expect(count == PathConstants.pingsPerSecond - PathConstants.pingsKeptForWays)
    #expect(pings(finder.heardOverRelay(peer.publicKey, now: now)).map(\.to) == [home])
  }

  @Test("a width that could not be asked for, since too much was sent, is asked for later and says nothing")
  func widthWaits() throws {
    try makeDirect()
    /// What is sent in a while in which packets travel, and everything is answered.
    func run(from: Duration, to end: Duration, asking: Bool) -> [Int] {
      var lengths: [Int] = []
      var time = from
      while time < end {
        let now = start + time
        // A person who asks as fast as may be.
        for _ in 0..<(asking ? PathConstants.pingsPerSecond : 0) {
          let sent = pings(finder.ping(peer.publicKey, now: now)?.1 ?? [])
          if sent.isEmpty { break }
          for ping in sent { pong(ping, at: now) }
        }
        for ping in pings(finder.advance(now: now) { _ in (now, now) }) {
          lengths.append(ping.length)
          pong(ping, at: now)
        }
        time += .milliseconds(50)
      }
      return lengths
    }
    #expect(run(from: .milliseconds(20), to: .seconds(5), asking: true).allSatisfy { $0 < 200 })
    #expect(finder.route(to: peer.publicKey) == .direct(home))
    #expect(run(from: .seconds(5), to: .seconds(8), asking: false).contains(1500 - 28))
    #expect(finder.peers[peer.publicKey]?.best?.wireMTU == 1500)
  }
}
