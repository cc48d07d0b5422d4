import Cryptography
import TestSupport
import Testing
import Wire

@testable import WireGuard

@Suite("Handshakes between machines") struct HandshakeTests {
  private let elsewhere = SocketAddress("203.0.113.7:4242")!

  @Test("a packet without a session waits for the handshake, which it begins")
  func firstPacket() throws {
    let network = try SimulatedNetwork()
    network.send(from: 0, to: 1, number: 1)
    network.send(from: 0, to: 1, number: 2)
    #expect(network.sent.map(\.type) == [1], "one initiation, and no data before the answer")
    network.run(for: .milliseconds(30))
    #expect(network.numbers(at: 1) == [1, 2])
    #expect(network.sent.map(\.type) == [1, 2, 4, 4])
    #expect(network.status(0, of: 1)?.state == .established && network.status(1, of: 0)?.state == .established)
    #expect(network.status(0, of: 1)?.session?.role == .initiator)
    #expect(network.status(1, of: 0)?.session?.role == .responder)
  }

  @Test("an initiator with nothing to say confirms the session with a keepalive")
  func confirmingKeepalive() throws {
    let network = try SimulatedNetwork()
    try network.initiate(from: 0, to: 1)
    network.run(for: .milliseconds(50))
    #expect(network.sent.map(\.type) == [1, 2, 4])
    #expect(network.sent.last?.isKeepalive == true)
    #expect(network.completed.map(\.machine).sorted() == [0, 1])
  }

  @Test("a responder sends nothing under a session before the initiator used it")
  func responderWaits() throws {
    let network = try SimulatedNetwork()
    network.blocks = { $0.sender == 0 && $0.type == 4 }
    try network.initiate(from: 0, to: 1)
    network.run(for: .milliseconds(50))
    network.send(from: 1, to: 0, number: 9)
    network.run(for: .seconds(4))
    #expect(network.sent(by: 1) { $0.type == 4 }.isEmpty)
    network.blocks = { _ in false }
    network.send(from: 0, to: 1, number: 5)
    network.run(for: .milliseconds(50))
    #expect(network.numbers(at: 1) == [5])
    #expect(network.numbers(at: 0) == [9], "what waited is sent with the first packet of the initiator")
  }

  @Test("both sides begin at once: both handshakes count, and nothing is lost or repeated")
  func simultaneous() throws {
    let network = try SimulatedNetwork()
    network.send(from: 0, to: 1, number: 1)
    network.send(from: 1, to: 0, number: 2)
    network.run(for: .milliseconds(100))
    #expect(network.numbers(at: 1) == [1] && network.numbers(at: 0) == [2])
    for number in 10..<20 as Range<UInt32> {
      network.send(from: 0, to: 1, number: number)
      network.send(from: 1, to: 0, number: number)
    }
    network.run(for: .milliseconds(100))
    #expect(network.numbers(at: 1) == [1] + Array(10..<20) && network.numbers(at: 0) == [2] + Array(10..<20))
    #expect(network.sent.filter { $0.isInitiation }.count == 2)
  }

  @Test("a session is installed before the response that allows the peer to use it is sent")
  func installedFirst() throws {
    let random = SeededRandom(1)
    let a = Device(privateKey: X25519PrivateKey(random: random), random: random)
    let b = Device(privateKey: X25519PrivateKey(random: random), random: random)
    let now = SimulatedNetwork.start
    let wall = WallTime(seconds: 1_800_000_000)
    let toB = try a.addPeer(PeerConfiguration(publicKey: b.publicKey, candidates: [elsewhere]), now: now)
    _ = try b.addPeer(PeerConfiguration(publicKey: a.publicKey), now: now)
    guard case .send(let initiation, _)? = a.initiate(toB, now: now, wallTime: wall).first else {
      Issue.record("no initiation")
      return
    }
    let answer = b.receive(initiation, from: elsewhere, now: now, wallTime: wall)
    guard answer.count == 3, case .install(let session, _, .next) = answer[0],
      case .setEndpoint(_, elsewhere) = answer[1],
      case .send(let response, [elsewhere]) = answer[2]
    else {
      Issue.record("not install, setEndpoint, send: \(answer)")
      return
    }
    #expect(session.role == .responder)
    let done = a.receive(response, from: elsewhere, now: now, wallTime: wall)
    guard case .install(_, _, .current)? = done.first, case .sealKeepalive(toB)? = done.last else {
      Issue.record("not install … sealKeepalive: \(done)")
      return
    }
  }

  @Test("an initiation goes to all candidates, and the one that answers becomes the endpoint")
  func candidates() throws {
    let dead = SocketAddress("203.0.113.1:1")!
    let network = try SimulatedNetwork { configuration, machine, _ in
      if machine == 0 { configuration.candidates.insert(dead, at: 0) }
    }
    try network.initiate(from: 0, to: 1)
    #expect(network.sent.map(\.destination) == [dead, network[1].address])
    #expect(network.status(0, of: 1)?.endpoint == nil)
    network.run(for: .milliseconds(50))
    #expect(network.status(0, of: 1)?.endpoint == network[1].address)
    #expect(network.status(1, of: 0)?.endpoint == network[0].address)
    network.forgetSent()
    network.send(from: 0, to: 1)
    #expect(network.sent.map(\.destination) == [network[1].address])
  }

  @Test("copies of one initiation that come over several paths make one session")
  func copiesOfAnInitiation() throws {
    let network = try SimulatedNetwork()
    network.faults.duplication = 100
    network.send(from: 0, to: 1, number: 7)
    network.run(for: .milliseconds(100))
    #expect(network.numbers(at: 1) == [7])
    #expect(network.sent(by: 1, \.isResponse).count == 1)
  }

  @Test("a replayed initiation, or one with an older stamp, is refused")
  func replay() throws {
    let network = try SimulatedNetwork()
    try network.initiate(from: 0, to: 1)
    let first = network.sent[0].bytes
    network.run(for: .seconds(10))
    try network.initiate(from: 0, to: 1)
    network.run(for: .seconds(1))
    let second = network.sent(by: 0, \.isInitiation)[1].bytes
    network.forgetSent()
    let endpoint = network.status(1, of: 0)?.endpoint
    network.inject(first, from: elsewhere, into: 1)
    network.inject(second, from: elsewhere, into: 1)
    #expect(network.sent.isEmpty)
    #expect(network.status(1, of: 0)?.endpoint == endpoint, "and moves nobody")
  }

  @Test("initiations of one peer within 20 ms are refused, whoever floods")
  func floodGate() throws {
    let random = SeededRandom(4)
    let own = X25519PrivateKey(random: random)
    let device = Device(privateKey: X25519PrivateKey(random: random), random: random)
    let now = SimulatedNetwork.start
    _ = try device.addPeer(PeerConfiguration(publicKey: own.publicKey), now: now)
    let peer = try #require(HandshakePeer(device.publicKey, local: own))
    var stamp = TAI64N(WallTime(seconds: 1))
    func responses(at now: Instant) throws -> Int {
      stamp = stamp.successor
      let (_, initiation) = try #require(
        InitiatorHandshake.begin(
          own, with: peer, localIndex: 1, ephemeral: X25519PrivateKey(random: random), timestamp: stamp))
      var cookies = CookieGenerator(device.publicKey)
      let message = cookies.authenticate(initiation.unauthenticated, at: now)
      return device.receive(message, from: elsewhere, now: now, wallTime: WallTime(seconds: 1)).count { action in
        if case .send = action { true } else { false }
      }
    }
    #expect(try responses(at: now) == 1)
    #expect(try responses(at: now + .milliseconds(19)) == 0)
    #expect(try responses(at: now + .milliseconds(20)) == 1)
    #expect(try responses(at: now + .milliseconds(39)) == 0)
    #expect(device.indices.count == 1, "a superseded session gives its index back")
  }

  @Test("stamps grow although the calendar stands still or goes back")
  func clockGoesBack() throws {
    let network = try SimulatedNetwork()
    for step in 1...5 {
      network[0].wallSkew = .seconds(-1000 * step)
      try network.initiate(from: 0, to: 1)
      network.run(for: .seconds(6))
    }
    #expect(network.sent(by: 1, \.isResponse).count == 5)
  }

  @Test("after a restart stamps go on from the time that peers have seen, though the clock has gone back")
  func restartWithEarlierClock() throws {
    let random = SeededRandom(7)
    let (own, other) = (X25519PrivateKey(random: random), X25519PrivateKey(random: random))
    let (before, after, now) = (WallTime(seconds: 10_000), WallTime(seconds: 5000), SimulatedNetwork.start)
    let responder = Device(privateKey: other, random: random)
    _ = try responder.addPeer(PeerConfiguration(publicKey: own.publicKey), now: now)
    func isAnswered(_ wallTime: WallTime, notBefore: WallTime?, at now: Instant) throws -> Bool {
      var configuration = Device.Configuration()
      configuration.earliestTimestamp = notBefore
      let device = Device(privateKey: own, random: random, configuration: configuration)
      let peer = try device.addPeer(
        PeerConfiguration(publicKey: other.publicKey, candidates: [elsewhere]), now: now)
      let sent = device.initiate(peer, .wanted, now: now, wallTime: wallTime)
      guard case .send(let message, _)? = sent.first(where: { if case .send = $0 { true } else { false } }) else {
        return false
      }
      return responder.receive(message, from: elsewhere, now: now, wallTime: wallTime).contains { action in
        if case .send = action { true } else { false }
      }
    }
    #expect(try isAnswered(before, notBefore: nil, at: now))
    #expect(try !isAnswered(after, notBefore: nil, at: now + .seconds(60)))
    #expect(try isAnswered(after, notBefore: before + .seconds(1), at: now + .seconds(120)))
  }

  @Test("a response that comes after the repetition was due, but before it was sent, counts")
  func lateResponse() throws {
    let network = try SimulatedNetwork()
    network.faults.latency = .seconds(2, milliseconds: 490)
    try network.initiate(from: 0, to: 1)
    network.run(for: .seconds(8))
    #expect(network.status(0, of: 1)?.state == .established)
    #expect(network.sent(by: 0, \.isInitiation).count == 1)
  }

  @Test("a response to an initiation that was repeated since is refused")
  func staleResponse() throws {
    let network = try SimulatedNetwork()
    network.faults.latency = .seconds(3)
    try network.initiate(from: 0, to: 1)
    network.run(for: .seconds(7))
    #expect(network.sent(by: 1, \.isResponse).count == 1)
    #expect(network.status(0, of: 1)?.state == .handshaking)
  }

  @Test("ends with different preshared keys do not meet, and a change counts for a handshake under way")
  func presharedKeys() throws {
    let key = SecretBytes([UInt8](repeating: 3, count: 32))
    let network = try SimulatedNetwork { configuration, machine, _ in
      if machine == 1 { configuration.presharedKey = key }
    }
    network.send(from: 0, to: 1, number: 1)
    network.run(for: .seconds(2))
    #expect(network.sent(by: 1, \.isResponse).count == 1)
    #expect(network.status(0, of: 1)?.state == .handshaking)
    try network.update(0, about: 1) { $0.presharedKey = key }
    network.run(for: .seconds(5))
    #expect(network.numbers(at: 1) == [1])
  }

  @Test("a preshared key is read when the response comes, not when the initiation was sent")
  func livePresharedKey() throws {
    let key = SecretBytes([UInt8](repeating: 3, count: 32))
    let network = try SimulatedNetwork { configuration, machine, _ in
      if machine == 1 { configuration.presharedKey = key }
    }
    network.send(from: 0, to: 1, number: 1)
    network.run(for: .milliseconds(15))
    try network.update(0, about: 1) { $0.presharedKey = key }
    network.run(for: .milliseconds(30))
    #expect(network.numbers(at: 1) == [1])
    #expect(network.sent.filter(\.isInitiation).count == 1)
  }

  @Test("under load an initiator proves its address first, and succeeds with its next attempt")
  func underLoad() throws {
    var configuration = Device.Configuration()
    configuration.handshakesPerSecond = 0
    let network = try SimulatedNetwork(configuration: configuration)
    network.send(from: 0, to: 1, number: 1)
    network.run(for: .seconds(1))
    #expect(network.sent.map(\.type) == [1, 3], "a cookie, and no retransmission because of it")
    #expect(network.sent[1].bytes.count < network.sent[0].bytes.count, "no amplification")
    network.run(for: .seconds(5))
    // The response was answered with a cookie too, for the responder's next one.
    network.run(for: .seconds(12))
    #expect(network.numbers(at: 1) == [1])
  }

  @Test("a cookie reply moves nobody")
  func cookieRepliesDoNotRoam() throws {
    let network = try SimulatedNetwork()
    try network.initiate(from: 0, to: 1)
    network.run(for: .seconds(6))
    let endpoint = network.status(0, of: 1)?.endpoint
    #expect(endpoint == network[1].address)
    network.blocks = { _ in true }
    try network.initiate(from: 0, to: 1)
    let initiation = try #require(network.sent(by: 0, \.isInitiation).last?.bytes)
    var checker = CookieChecker(network[1].privateKey.publicKey)
    let sender = try #require(HandshakeInitiation(initiation)).sender
    let reply = checker.reply(
      to: initiation, sender: sender, from: network[0].address, at: network.now, SeededRandom(1))
    network.inject(reply.bytes, from: elsewhere, into: 0)
    #expect(network.status(0, of: 1)?.endpoint == endpoint)
    network.run(for: .seconds(6))
    let next = try #require(network.sent(by: 0, \.isInitiation).last)
    #expect(next.bytes.suffix(16).contains { $0 != 0 }, "the next attempt carries mac2")
    #expect(!network.sent.contains { $0.destination == elsewhere })
  }

  @Test("strangers, and messages for another key, get no answer")
  func strangers() throws {
    let network = try SimulatedNetwork(machines: 3)
    network[1].tunnel.removePeer(network[1].peers[0]!, now: network.now, wallTime: network.wallTime(of: 1))
    network.send(from: 0, to: 1)
    network.run(for: .seconds(1))
    #expect(network.sent(by: 1) { _ in true }.isEmpty)
    network.inject(network.sent[0].bytes, from: elsewhere, into: 2)
    network.run(for: .seconds(1))
    #expect(network.sent(by: 2) { _ in true }.isEmpty)
  }

  @Test("a machine that lost everything is reached again by its own handshake, and by its peer's")
  func restart() throws {
    let network = try SimulatedNetwork()
    network.send(from: 0, to: 1, number: 1)
    network.run(for: .seconds(1))
    // The same key with no memory, a moment later.
    let reborn = try SimulatedNetwork(seed: 1)
    let peer = try #require(reborn[0].peers[1])
    let output = reborn[0].tunnel.initiate(peer, now: network.now, wallTime: network.wallTime(of: 0) + .seconds(1))
    let initiation = try #require(output.datagrams.first?.bytes)
    network.forgetSent()
    network.inject(initiation, from: network[0].address, into: 1)
    #expect(network.sent.filter(\.isResponse).count == 1)
  }
}
