import Cryptography
import Netmap
import TestSupport
import Testing
import Wire

@testable import Traversal

/// One `PathFinder`, and its peer as a pair of keys in the test's hand.
@Suite("what a path finder does and does not")
struct PathFinderTests: FinderSuite {
  let world: FinderWorld
  private let stranger = SocketAddress("203.0.113.9:5000")!

  init() throws {
    world = try FinderWorld()
    _ = finder.apply(netmap([home]), now: start)
  }

  private func pong(_ ping: (id: TransactionID, to: SocketAddress, length: Int), at now: Instant) -> [PathAction] {
    finder.receive(
      sealed(.pong(ping.id, source: SocketAddress("192.0.2.5:41641")!)), .datagram(from: ping.to), now: now)
  }

  private func makeDirect() throws {
    let ping = try #require(pings(finder.wantsToSend(to: peer.publicKey, now: start)).first)
    _ = pong(ping, at: start + .milliseconds(20))
    #expect(finder.route(to: peer.publicKey) == .direct(home))
  }

  @Test("nothing is sent before there is something to send")
  func quiet() {
    #expect(finder.nextDeadline == nil)
    #expect(finder.route(to: peer.publicKey) == .relayed)
  }

  @Test("the first packet pings the record's addresses and calls the peer over the relay")
  func first() throws {
    let actions = finder.wantsToSend(to: peer.publicKey, now: start)
    #expect(pings(actions).map(\.to) == [home])
    #expect(pings(actions).first?.length == 124, "a ping with a node key has 124 bytes everywhere")
    let calls = actions.compactMap { action -> DiscoMessage? in
      guard case .sendRelayed(let bytes, peer.publicKey) = action else { return nil }
      return DiscoEnvelope.open(bytes, in: box)
    }
    #expect(calls == [.callMeMaybe([SocketAddress("192.0.2.5:41641")!])])
  }

  /// A router that forgot the peer gives it another address. What the peer sends arrives from there, and what is sent to the former one
  /// gets nowhere, though something comes all the time.
  @Test(
    "what comes from elsewhere, and a call, put the way in use to the test: whichever answers first is the way",
    arguments: [true, false], [true, false])
  func elsewhere(isCalled: Bool, isFormerAlive: Bool) throws {
    try makeDirect()
    let now = start + .seconds(2)
    let actions =
      isCalled
      ? finder.receive(
        sealed(.callMeMaybe([home, stranger])), .relayed(from: peer.publicKey), now: now)
      : finder.heard(peer.publicKey, from: stranger, now: now)
    let sent = pings(actions)
    #expect(Set(sent.map(\.to)) == [home, stranger])
    for ping in sent.sorted(by: { $0.to == home && $1.to != home }) where ping.to != home || isFormerAlive {
      _ = pong(ping, at: now + .milliseconds(20))
    }
    #expect(finder.route(to: peer.publicKey) == .direct(isFormerAlive ? home : stranger))
  }

  @Test("a way that answered a moment ago is not put to the test by packets from elsewhere")
  func elsewhereAtOnce() throws {
    try makeDirect()
    let sent = pings(finder.heard(peer.publicKey, from: stranger, now: start + .milliseconds(900)))
    #expect(sent.map(\.to) == [stranger])
    for ping in sent { _ = pong(ping, at: start + .milliseconds(930)) }
    #expect(finder.route(to: peer.publicKey) == .direct(home))
  }

  @Test(
    "a way that turns out to lead into another tunnel is left at once, and nothing is sent there until it leads elsewhere"
  )
  func tunnelled() throws {
    try makeDirect()
    let tunnel = HostBounds(ruledOut: [IPPrefix(host: home.ip)])
    let now = start + .seconds(10)
    #expect(pings(finder.setHostBounds(tunnel, now: now)).isEmpty)
    #expect(finder.route(to: peer.publicKey) == .relayed)
    #expect(pings(finder.apply(netmap([home, stranger]), now: now)).map(\.to) == [stranger])
    #expect(finder.heard(peer.publicKey, from: home, now: now).isEmpty)
    _ = finder.setHostBounds(HostBounds(), now: now + .seconds(10))
    #expect(pings(finder.apply(netmap([home, stranger]), now: now + .seconds(10))).map(\.to).contains(home))
  }

  @Test("a call that may have gone into a relay that was dead already is repeated over the next one")
  func calledAgain() {
    func calls(_ actions: [PathAction]) -> Int {
      actions.count { if case .sendRelayed = $0 { true } else { false } }
    }
    #expect(calls(finder.wantsToSend(to: peer.publicKey, now: start)) == 1)
    #expect(calls(finder.setHasRelay(false, now: start + .milliseconds(100))) == 0)
    #expect(calls(finder.setHasRelay(true, now: start + .milliseconds(200))) == 1)
  }

  @Test("what comes from an address is pinged back there, also after a ping that may be lost, twice in five seconds")
  func pingBack() {
    #expect(pings(finder.wantsToSend(to: peer.publicKey, now: start)).map(\.to) == [home])
    func knock(_ time: Duration) -> [SocketAddress] {
      let ping = sealed(.ping(TransactionID(random: random), nodeKey: peer.publicKey, padding: 0))
      return pings(finder.receive(ping, .datagram(from: home), now: start + time)).map(\.to)
    }
    #expect(knock(.milliseconds(50)) == [home])
    #expect(knock(.milliseconds(60)).isEmpty)
    #expect(knock(.milliseconds(300)) == [home])
    for time in [600, 1000, 4999] as [Int64] { #expect(knock(.milliseconds(time)).isEmpty) }
    #expect(knock(.milliseconds(5050)) == [home])
  }

  @Test("what went to an address before, for whatever reason, puts off no ping that answers what comes from there")
  func pingBackAfterAll() {
    #expect(pings(finder.wantsToSend(to: peer.publicKey, now: start)).map(\.to) == [home])
    let call = sealed(.callMeMaybe([home]))
    let called = finder.receive(call, .relayed(from: peer.publicKey), now: start + .milliseconds(300))
    #expect(pings(called).map(\.to) == [home], "named by a call for the first time")
    // Only now has the peer heard of this machine's address, and opened its NAT.
    let ping = sealed(.ping(TransactionID(random: random), nodeKey: peer.publicKey, padding: 0))
    #expect(pings(finder.receive(ping, .datagram(from: home), now: start + .milliseconds(350))).map(\.to) == [home])
  }

  @Test("own addresses that are old are found out again before the peer is told them")
  func staleEndpoints() {
    let later = start + .seconds(28)
    let actions = finder.wantsToSend(to: peer.publicKey, now: later)
    #expect(actions.contains(.refreshOwnEndpoints))
    #expect(!actions.contains { if case .sendRelayed = $0 { true } else { false } })
    let then = finder.setOwnEndpoints([home], now: later + .milliseconds(50))
    #expect(then.contains { if case .sendRelayed = $0 { true } else { false } })
  }

  @Test("a pong from elsewhere, one that nobody asked for, and one that is repeated make no path")
  func forgedPongs() throws {
    let ping = try #require(pings(finder.wantsToSend(to: peer.publicKey, now: start)).first)
    let message = sealed(.pong(ping.id, source: home))
    #expect(finder.receive(message, .datagram(from: stranger), now: start).isEmpty)
    #expect(finder.receive(message, .relayed(from: peer.publicKey), now: start).isEmpty)
    let unasked = sealed(.pong(TransactionID(random: random), source: home))
    #expect(finder.receive(unasked, .datagram(from: home), now: start).isEmpty)
    #expect(finder.route(to: peer.publicKey) == .relayed)
    #expect(!finder.receive(message, .datagram(from: home), now: start + .milliseconds(9)).isEmpty)
    #expect(finder.receive(message, .datagram(from: home), now: start + .milliseconds(9)).isEmpty)
    #expect(finder.statistics.refused == 4)
  }

  @Test("whoever is not in the netmap gets no answer")
  func strangers() throws {
    let other = X25519PrivateKey(random: random)
    let otherBox = try #require(NaClBox(other, disco.publicKey))
    let ping = DiscoMessage.ping(TransactionID(random: random), nodeKey: peer.publicKey, padding: 0)
    let message = DiscoEnvelope.seal(ping, from: other.publicKey, in: otherBox, random: random)
    #expect(finder.receive(message, .datagram(from: stranger), now: start).isEmpty)
    #expect(finder.receive(message, .relayed(from: peer.publicKey), now: start).isEmpty)
    #expect(finder.receive([UInt8](repeating: 7, count: 2000), .datagram(from: stranger), now: start).isEmpty)
    #expect(finder.receive([], .datagram(from: stranger), now: start).isEmpty)
  }

  @Test("a ping is answered where it came from, and its address is tried")
  func pinged() throws {
    let id = TransactionID(random: random)
    let actions = finder.receive(
      sealed(.ping(id, nodeKey: peer.publicKey, padding: 0)), .datagram(from: stranger), now: start)
    guard case .send(let bytes, stranger) = actions.first else {
      Issue.record("no answer: \(actions)")
      return
    }
    #expect(DiscoEnvelope.open(bytes, in: box) == .pong(id, source: stranger))
    #expect(pings(actions).map(\.to) == [stranger])
  }

  @Test("no ping goes to an address of the mesh, the host, its link, or to port 0, whoever names it")
  func hygiene() {
    let bad = [
      "10.200.3.4:41641", "127.0.0.1:41641", "169.254.7.7:41641", "224.0.0.1:9", "198.51.100.7:0", "[fe80::1]:1",
    ]
    .compactMap { SocketAddress($0) }
    #expect(pings(finder.apply(netmap(bad), now: start)).isEmpty)
    #expect(pings(finder.wantsToSend(to: peer.publicKey, now: start)).isEmpty)
    let call = finder.receive(sealed(.callMeMaybe(bad)), .relayed(from: peer.publicKey), now: start + .seconds(2))
    #expect(pings(call).isEmpty)
    for source in bad {
      let ping = sealed(.ping(TransactionID(random: random), nodeKey: peer.publicKey, padding: 0))
      #expect(finder.receive(ping, .datagram(from: source), now: start + .seconds(3)).isEmpty)
    }
  }

  @Test("a call counts over the relay only, from the peer whose key sealed it, and once a second")
  func calls() throws {
    let there = SocketAddress("198.51.100.99:7")!
    let call = sealed(.callMeMaybe([there]))
    #expect(finder.receive(call, .datagram(from: home), now: start).isEmpty)
    #expect(finder.receive(call, .relayed(from: own.publicKey), now: start).isEmpty)
    #expect(Set(pings(finder.receive(call, .relayed(from: peer.publicKey), now: start)).map(\.to)) == [home, there])
    let soon = sealed(.callMeMaybe([there]))
    #expect(finder.receive(soon, .relayed(from: peer.publicKey), now: start + .milliseconds(900)).isEmpty)
    #expect(finder.statistics.limited == 1)
    let second = sealed(.callMeMaybe([there, SocketAddress("198.51.100.99:8")!]))
    let named = finder.receive(second, .relayed(from: peer.publicKey), now: start + .seconds(1))
    #expect(pings(named).map(\.to) == [SocketAddress("198.51.100.99:8")!], "the others were pinged a moment ago")
    #expect(finder.statistics.limited == 1)
  }

  /// What a member makes this machine send, that does each second what `body` says.
  private func provoked(_ body: (_ second: Int, _ now: Instant) -> [PathAction]) -> [(at: Int, to: SocketAddress)] {
    (0..<60).flatMap { second in
      let now = start + .seconds(second)
      let actions = body(second, now) + finder.advance(now: now) { _ in (now, now) }
      return pings(actions).map { (second, $0.to) }
    }
  }

  /// - Parameter bound: how often an address is pinged in five seconds.
  private func expect(_ bound: Int, of sent: [(at: Int, to: SocketAddress)]) {
    for second in 0..<60 {
      let recent = sent.filter { $0.at >= second && $0.at < second + 5 }
      let most = Dictionary(grouping: recent, by: \.to).values.map(\.count).max() ?? 0
      #expect(most <= bound && recent.count <= bound * PathConstants.candidates, "after \(second) s")
      #expect(recent.count { $0.at == second } <= PathConstants.pingsPerSecondAndPeer)
    }
  }

  @Test("who calls every second with the same addresses has each pinged once in five seconds, and the first time twice")
  func sameAddresses() {
    let victims = (0..<20).map { SocketAddress(IPAddress(v4: 0xcb00_7101), port: 5000 + $0) }
    let sent = provoked { _, now in
      finder.receive(sealed(.callMeMaybe(victims)), .relayed(from: peer.publicKey), now: now)
    }
    for victim in victims { #expect(sent.count { $0.to == victim } == 13) }
  }

  @Test("naming addresses by turns, hiding the disco key between, or doing so in records as well, makes no more of it")
  func byTurns() {
    let victims = (0..<40).map { SocketAddress(IPAddress(v4: 0xcb00_7101), port: 5000 + $0) }
    var hidden = netmap([])
    hidden.peers[0].discoKey = nil
    let sent = provoked { second, now in
      let named = Array(second % 2 == 0 ? victims[..<20] : victims[20...])
      return finder.apply(hidden, now: now) + finder.apply(netmap(named), now: now)
        + finder.receive(sealed(.callMeMaybe(named)), .relayed(from: peer.publicKey), now: now)
        + finder.wantsToSend(to: peer.publicKey, now: now)
    }
    // One, and one more for a reason.
    expect(2, of: sent)
  }

  @Test("a member that names many addresses, again and again, and sends from all of them, makes few pings of it")
  func amplification() {
    let sent = provoked { second, now in
      let many = (0..<200).map { SocketAddress(IPAddress(v4: 0xcb00_7100 + UInt32(second * 251 + $0)), port: 53) }
      return many.reduce(finder.receive(sealed(.callMeMaybe(many)), .relayed(from: peer.publicKey), now: now)) {
        let ping = sealed(.ping(TransactionID(random: random), nodeKey: peer.publicKey, padding: 0))
        return $0 + finder.receive(ping, .datagram(from: $1), now: now)
      }
    }
    // Two more, since something came from there.
    expect(4, of: sent)
    #expect(finder.peers[peer.publicKey]?.candidates.entries.count ?? 0 <= 57)
    #expect(finder.peers[peer.publicKey]?.pings.count ?? 0 <= PathConstants.outstandingPings)
  }

  @Test("a path that nothing came back on for a second is doubted, and then doubled by the relay")
  func doubt() throws {
    try makeDirect()
    var now = start
    var doubtedAt: Instant?
    var relaysAskedAt: [Instant] = []
    // Packets go out all the time, and nothing comes.
    for _ in 0..<200 where doubtedAt == nil {
      now = now + .milliseconds(20)
      let sent = now
      let actions = finder.advance(now: now) { _ in (sent, nil) }
      if actions.contains(.askRelays) { relaysAskedAt.append(now) }
      if finder.route(to: peer.publicKey) == .both(home) { doubtedAt = now }
    }
    let at = try #require(doubtedAt)
    #expect(at - start >= .milliseconds(1300) && at - start <= .milliseconds(1500))
    let askedAt = try #require(relaysAskedAt.first, "the relays may have gone with it")
    #expect(relaysAskedAt.count == 1 && askedAt == at)
    // The first pong settles it.
    let ping = try #require(pings(finder.wantsToSend(to: peer.publicKey, now: now)).first ?? outstanding().first)
    _ = pong(ping, at: now + .milliseconds(10))
    #expect(finder.route(to: peer.publicKey) == .direct(home))
  }

  @Test("a way on which packets go out and only pongs come back is not doubted for long, and no relay is asked")
  func oneWay() throws {
    try makeDirect()
    var asked = 0
    for step in 1...1500 {
      let now = start + .milliseconds(Int64(step) * 20)
      let actions = finder.advance(now: now) { _ in (now, nil) }
      if actions.contains(.askRelays) { asked += 1 }
      for ping in pings(actions) { _ = pong(ping, at: now + .milliseconds(10)) }
    }
    #expect(asked == 0 && finder.route(to: peer.publicKey) == .direct(home))
  }

  @Test("a path that nothing is sent on comes to rest, with a relay and without", arguments: [true, false])
  func comesToRest(hasRelay: Bool) throws {
    try makeDirect()
    _ = finder.setHasRelay(hasRelay, now: start + .milliseconds(30))
    var turns = 0
    while let due = finder.nextDeadline, due < start + .seconds(15) {
      turns += 1
      try #require(turns < 100, "deadlines that are over come again at \(due)")
      _ = finder.advance(now: due) { _ in (start, start + .milliseconds(20)) }
    }
  }

  @Test("while packets come back, no path is doubted")
  func noDoubt() throws {
    try makeDirect()
    var now = start
    for _ in 0..<500 {
      now = now + .milliseconds(20)
      let sent = now
      for ping in pings(finder.advance(now: now) { _ in (sent, sent) }) { _ = pong(ping, at: now) }
      #expect(finder.route(to: peer.publicKey) == .direct(home))
    }
  }

  @Test("a peer that sends over the relay doubts the path; unless the path has just answered, packets go both ways")
  func heardOverRelay() throws {
    try makeDirect()
    #expect(finder.heardOverRelay(peer.publicKey, now: start + .milliseconds(500)).isEmpty)
    let now = start + .seconds(3)
    let asked = pings(finder.heardOverRelay(peer.publicKey, now: now))
    #expect(finder.route(to: peer.publicKey) == .both(home))
    _ = pong(try #require(asked.first), at: now + .milliseconds(20))
    #expect(finder.route(to: peer.publicKey) == .direct(home))
  }

  @Test("a packet from another address is a reason to try that one at once, and not to use it")
  func roaming() throws {
    try makeDirect()
    let now = start + .seconds(1)
    let actions = finder.heard(peer.publicKey, from: stranger, now: now)
    #expect(pings(actions).map(\.to) == [stranger])
    #expect(finder.route(to: peer.publicKey) == .direct(home))
    func again(_ time: Duration) -> [SocketAddress] {
      pings(finder.heard(peer.publicKey, from: stranger, now: now + time)).map(\.to)
    }
    #expect(again(.milliseconds(10)).isEmpty, "not per packet")
    #expect(
      again(.milliseconds(250)) == [home, stranger],
      "the first may have been lost; and the way in use has not answered for a second")
    for time in [500, 1000, 4900] as [Int64] { #expect(again(.milliseconds(time)).isEmpty) }
    #expect(again(.milliseconds(5300)) == [stranger])
  }

  @Test("a ping that a person asks for is waited for as long as they said")
  func patience() throws {
    _ = finder.apply(netmap([home]), now: start)
    let (token, actions) = try #require(finder.ping(peer.publicKey, within: .seconds(20), now: start))
    let late = start + .seconds(15)
    _ = finder.advance(now: late) { _ in (nil, nil) }
    let answers = pings(actions).flatMap {
      finder.receive(sealed(.pong($0.id, source: home)), .datagram(from: $0.to), now: late)
    }
    #expect(answers.contains(.answered(token, via: home, latency: .seconds(15))))
  }

  @Test("what a person asks is answered once, by the path that was fastest")
  func asked() throws {
    let (token, actions) = try #require(finder.ping(peer.publicKey, now: start))
    let relayed = actions.compactMap { action -> TransactionID? in
      guard case .sendRelayed(let bytes, _) = action, case .ping(let id, _, _) = DiscoEnvelope.open(bytes, in: box)
      else { return nil }
      return id
    }
    let id = try #require(relayed.first)
    let first = finder.receive(
      sealed(.pong(id, source: home)), .relayed(from: peer.publicKey), now: start + .milliseconds(30))
    #expect(first == [.answered(token, via: nil, latency: .milliseconds(30))])
    let later = try pong(#require(pings(actions).last), at: start + .milliseconds(40))
    #expect(!later.contains { if case .answered = $0 { true } else { false } })
  }

  @Test("a peer that left the netmap is nobody")
  func removed() throws {
    try makeDirect()
    let empty = Netmap(networkName: "home", node: netmap([]).node)
    _ = finder.apply(empty, now: start + .seconds(1))
    #expect(finder.route(to: peer.publicKey) == nil)
    let ping = sealed(.ping(TransactionID(random: random), nodeKey: peer.publicKey, padding: 0))
    #expect(finder.receive(ping, .datagram(from: home), now: start + .seconds(1)).isEmpty)
    _ = finder.advance(now: start + .seconds(100)) { _ in (nil, nil) }
  }

  @Test("the hash seed decides nothing: one seed, one run")
  func reproducible() {
    func trace() -> [PathAction] {
      let random = SeededRandom(3)
      let now = start
      let finder = PathFinder(
        nodeKey: X25519PrivateKey(random: random).publicKey, discoKey: X25519PrivateKey(random: random), random: random)
      let peers = (0..<30).map { number in
        Peer(
          key: X25519PrivateKey(random: random).publicKey, name: "\(number)", addresses: [], allowedIPs: [],
          endpoints: (0..<5).map { SocketAddress(IPAddress(v4: 0xc633_6400 + UInt32(number * 5 + $0)), port: 1) },
          discoKey: X25519PrivateKey(random: random).publicKey)
      }
      let node = LocalNode(name: "", key: finder.nodeKey, addresses: [], meshPrefixes: [])
      var actions = finder.apply(Netmap(networkName: "", node: node, peers: peers), now: now)
      for peer in peers { actions += finder.wantsToSend(to: peer.key, now: now) }
      actions += finder.networkChanged(now: now + .seconds(1))
      actions += finder.advance(now: now + .seconds(9)) { _ in (now, nil) }
      return actions
    }
    #expect(trace() == trace())
  }

  private func outstanding() -> [(id: TransactionID, to: SocketAddress, length: Int)] {
    (finder.peers[peer.publicKey]?.pings ?? [:]).compactMap { id, ping in ping.address.map { (id, $0, 0) } }
  }
}
