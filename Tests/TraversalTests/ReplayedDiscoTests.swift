import Cryptography
import Netmap
import TestSupport
import Testing
import Wire

@testable import Traversal

/// What somebody does who carried disco messages, and cannot make any: a relay's runner, or a router.
@Suite("disco that is sent again by others")
struct ReplayedDiscoTests: FinderSuite {
  let world: FinderWorld
  private let stranger = SocketAddress("203.0.113.9:5000")!

  init() throws {
    world = try FinderWorld()
    _ = finder.apply(netmap([home]), now: start)
  }

  private func ping() -> [UInt8] {
    sealed(.ping(TransactionID(random: random), nodeKey: peer.publicKey, padding: 0))
  }

  /// A way to the address, by a ping from there and its pong.
  private func makeDirect(_ address: SocketAddress, at now: Instant) throws {
    let sent = try #require(pings(finder.receive(ping(), .datagram(from: address), now: now)).first)
    _ = finder.receive(sealed(.pong(sent.id, source: home)), .datagram(from: address), now: now)
    #expect(finder.route(to: peer.publicKey) == .direct(address))
  }

  @Test("a ping counts once, whichever way it comes, and not again some minutes later", arguments: [true, false])
  func pingsOnce(cameByRelay: Bool) {
    let ping = ping()
    let arrival = cameByRelay ? DiscoArrival.relayed(from: peer.publicKey) : .datagram(from: home)
    #expect(!finder.receive(ping, arrival, now: start).isEmpty)
    for second in [0, 1, 60, 119] {
      let now = start + .seconds(second)
      #expect(finder.receive(ping, .datagram(from: stranger), now: now).isEmpty)
      #expect(finder.receive(ping, .relayed(from: peer.publicKey), now: now).isEmpty)
    }
    #expect(finder.peers[peer.publicKey]?.candidates[stranger] == nil)
  }

  @Test("however many pings come, the last five hundred of them are known, and not many more")
  func memory() {
    var seen = SeenMessages(count: 512, lifetime: .seconds(120))
    let messages = (0..<5000).map { _ in ping() }
    for (index, message) in messages.enumerated() {
      let isNew = seen.insert(message, at: start)
      let isNewAgain = seen.insert(messages[max(0, index - 512)], at: start)
      #expect(isNew && !isNewAgain)
    }
    let isForgotten = seen.insert(messages[5000 - 1025], at: start)
    #expect(isForgotten)
  }

  @Test("whatever pings, from wherever, the way in use is not forgotten for it")
  func bestStays() throws {
    try makeDirect(stranger, at: start)
    for number in 0..<200 {
      let source = SocketAddress(IPAddress(v4: 0xcb00_7200 + UInt32(number)), port: 53)
      _ = finder.receive(ping(), .datagram(from: source), now: start + .milliseconds(Int64(10 * number)))
    }
    #expect(finder.route(to: peer.publicKey) == .direct(stranger))
    let candidates = try #require(finder.peers[peer.publicKey]?.candidates)
    #expect(candidates[stranger] != nil)
    #expect(candidates.entries.values.count { $0.learntAt != nil } <= PathConstants.learntCandidates)
  }

  @Test("pings of the way in use are answered, however many come from elsewhere")
  func answersKept() throws {
    try makeDirect(stranger, at: start)
    let now = start + .seconds(2)
    for number in 0..<100 {
      _ = finder.receive(
        ping(), .datagram(from: SocketAddress(IPAddress(v4: 0xcb00_7200 + UInt32(number)), port: 53)), now: now)
      _ = finder.receive(ping(), .relayed(from: peer.publicKey), now: now)
    }
    let answers = finder.receive(ping(), .datagram(from: stranger), now: now)
    #expect(answers.contains { if case .send(_, stranger) = $0 { true } else { false } })
  }

  @Test("an old call counts no more, and keeps no new one from counting")
  func callsOnce() {
    let old = sealed(.callMeMaybe([stranger]))
    #expect(!pings(finder.receive(old, .relayed(from: peer.publicKey), now: start)).isEmpty)
    for second in 2..<500 {
      #expect(finder.receive(old, .relayed(from: peer.publicKey), now: start + .seconds(second)).isEmpty)
    }
    let now = start + .seconds(500)
    #expect(finder.receive(old, .relayed(from: peer.publicKey), now: now).isEmpty)
    let there = SocketAddress("203.0.113.9:5001")!
    let new = finder.receive(sealed(.callMeMaybe([there])), .relayed(from: peer.publicKey), now: now)
    #expect(pings(new).contains { $0.to == there })
  }

  @Test("a call that does not name the way in use makes it doubted, and does not take it away")
  func callDoubts() throws {
    let named = finder.receive(sealed(.callMeMaybe([stranger])), .relayed(from: peer.publicKey), now: start)
    let sent = try #require(pings(named).first { $0.to == stranger })
    _ = finder.receive(sealed(.pong(sent.id, source: home)), .datagram(from: stranger), now: start)
    #expect(finder.route(to: peer.publicKey) == .direct(stranger))
    let now = start + .seconds(2)
    let other = SocketAddress("203.0.113.9:5001")!
    let asked = pings(finder.receive(sealed(.callMeMaybe([other])), .relayed(from: peer.publicKey), now: now))
    #expect(finder.route(to: peer.publicKey) == .both(stranger))
    let again = try #require(asked.first { $0.to == stranger })
    _ = finder.receive(sealed(.pong(again.id, source: home)), .datagram(from: stranger), now: now)
    #expect(finder.route(to: peer.publicKey) == .direct(stranger))
  }

  @Test("what this machine sent is nothing of the peer's, though one key seals both")
  func thrownBack() {
    for action in finder.wantsToSend(to: peer.publicKey, now: start) {
      let (bytes, arrival): ([UInt8], DiscoArrival)
      switch action {
      case .send(let message, let address): (bytes, arrival) = (message, .datagram(from: address))
      case .sendRelayed(let message, let key): (bytes, arrival) = (message, .relayed(from: key))
      default: continue
      }
      var back = bytes
      back.replaceSubrange(DiscoEnvelope.senderRange, with: peerDisco.publicKey.bytes.array)
      #expect(DiscoEnvelope.open(back, in: box) != nil)
      #expect(finder.receive(back, arrival, now: start + .milliseconds(1)).isEmpty)
      #expect(finder.receive(back, .relayed(from: peer.publicKey), now: start + .seconds(2)).isEmpty)
    }
    #expect(finder.route(to: peer.publicKey) == .relayed)
  }
}
