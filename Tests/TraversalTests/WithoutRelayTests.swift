import Cryptography
import Netmap
import TestSupport
import Testing
import Wire

@testable import Traversal

/// One finder and many peers, with no relay between them.
@Suite("a large mesh without a relay")
struct WithoutRelayTests: FinderSuite {
  let world: FinderWorld
  private let others: [(peer: Peer, disco: X25519PrivateKey)]

  init() throws {
    world = try FinderWorld()
    let random = world.random
    others = (0..<150).map { number in
      let disco = X25519PrivateKey(random: random)
      let peer = Peer(
        key: X25519PrivateKey(random: random).publicKey, name: "\(number)", addresses: [], allowedIPs: [],
        endpoints: [SocketAddress(IPAddress(v4: 0xcb00_7100 + UInt32(number)), port: 7)], discoKey: disco.publicKey)
      return (peer, disco)
    }
    .sorted { $0.peer.key < $1.peer.key }
    _ = finder.setHasRelay(false, now: start)
  }

  private func sent(_ actions: [PathAction]) -> [SocketAddress] {
    actions.compactMap { if case .send(_, let address) = $0 { address } else { nil } }
  }

  private func begin() -> [SocketAddress] {
    var netmap = netmap([])
    netmap.peers = others.map(\.peer)
    return sent(finder.apply(netmap, now: start))
  }

  @Test("all have their turn to be pinged, 64 at a time, and every 20 to 26 seconds")
  func turns() throws {
    #expect(begin().count == 64)
    var turns: [Set<SocketAddress>] = []
    var before = start
    // Some of the deadlines are those of pings.
    for _ in 0..<10_000 where turns.count < 3 {
      let now = try #require(finder.nextDeadline)
      let addresses = sent(finder.advance(now: now) { _ in (nil, nil) })
      guard !addresses.isEmpty else { continue }
      #expect(addresses.count == 64 && now - before >= .seconds(20) && now - before <= .seconds(26))
      turns.append(Set(addresses))
      before = now
    }
    try #require(turns.count == 3)
    #expect(turns[0].isDisjoint(with: turns[1]))
    #expect(turns.reduce([]) { $0.union($1) } == Set(others.flatMap(\.peer.endpoints)))
  }

  @Test("those to whom there is a way take no turn from the others")
  func waysTakeNoTurn() throws {
    _ = begin()
    let turn = try #require(finder.unaskedAt)
    // The first twenty are spoken with, and answer.
    let now = turn - .seconds(1)
    for (peer, disco) in others.prefix(20) {
      let box = try #require(NaClBox(disco, self.disco.publicKey))
      for case .send(let bytes, let address) in finder.wantsToSend(to: peer.key, now: now) {
        guard case .ping(let id, _, _) = DiscoEnvelope.open(bytes, in: box) else { continue }
        let pong = DiscoEnvelope.seal(.pong(id, source: home), from: disco.publicKey, in: box, random: random)
        _ = finder.receive(pong, .datagram(from: address), now: now)
      }
      #expect(finder.route(to: peer.key) == .direct(peer.endpoints[0]))
    }
    let pinged = Set(sent(finder.advance(now: turn) { _ in (now, now) }))
    #expect(pinged.intersection(others.dropFirst(20).flatMap(\.peer.endpoints)).count == 64)
  }
}
