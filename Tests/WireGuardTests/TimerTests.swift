import Cryptography
import TestSupport
import Testing
import Wire

@testable import WireGuard

@Suite("Timers") struct TimerTests {
  private func established(_ seed: UInt64 = 1) throws -> SimulatedNetwork {
    let network = try SimulatedNetwork(seed: seed)
    try network.initiate(from: 0, to: 1)
    network.run(for: .seconds(1))
    #expect(network.status(1, of: 0)?.state == .established)
    network.forgetSent()
    return network
  }

  private func gaps(_ datagrams: [SimulatedNetwork.Datagram]) -> [Duration] {
    zip(datagrams, datagrams.dropFirst()).map { $1.at - $0.at }
  }

  @Test("a handshake without an answer is repeated after 5 s and a jitter that differs each time, then abandoned")
  func retransmission() throws {
    let network = try SimulatedNetwork()
    network.blocks = { _ in true }
    network.send(from: 0, to: 1, number: 1)
    network.run(for: .seconds(300))
    let initiations = network.sent(by: 0, \.isInitiation)
    #expect(initiations.count == 20)
    let gaps = gaps(initiations)
    #expect(gaps.allSatisfy { $0 >= .seconds(5) && $0 < .milliseconds(5333) })
    #expect(Set(gaps).count > 10, "jitter")
    #expect(Set(initiations.map { Array($0.bytes[4..<116]) }).count == 20, "fresh index, ephemeral and stamp each time")
    #expect(network.status(0, of: 1)?.state == .idle)
    network.blocks = { _ in false }
    network.send(from: 0, to: 1, number: 2)
    network.run(for: .seconds(1))
    #expect(network.numbers(at: 1) == [2], "the packet that waited through the attempt was dropped")
  }

  @Test("initiations are never closer than 5 s, whatever the traffic, and keep their jitter under it")
  func rekeyTimeout() throws {
    let network = try SimulatedNetwork()
    network.blocks = { _ in true }
    for number in 0..<600 as Range<UInt32> {
      network.send(from: 0, to: 1, number: number)
      network.run(for: .milliseconds(100))
    }
    let gaps = gaps(network.sent(by: 0, \.isInitiation))
    #expect(gaps.count >= 10 && gaps.allSatisfy { $0 >= .seconds(5) })
    #expect(gaps.contains { $0 > .milliseconds(5030) })
  }

  @Test("within 5 s of our response no initiation is sent, but the wish is kept")
  func afterAResponse() throws {
    let network = try SimulatedNetwork()
    network.blocks = { $0.sender == 0 && $0.type == 4 }
    try network.initiate(from: 0, to: 1)
    network.run(for: .milliseconds(50))
    network.send(from: 1, to: 0, number: 3)
    network.run(for: .seconds(4))
    #expect(network.sent(by: 1, \.isInitiation).isEmpty)
    network.run(for: .seconds(2))
    #expect(network.sent(by: 1, \.isInitiation).count == 1)
    #expect(network.numbers(at: 0) == [3])
  }

  @Test("a peer whose record changed is tried at once, once")
  func peerChanged() throws {
    let network = try SimulatedNetwork()
    network.blocks = { _ in true }
    network.send(from: 0, to: 1, number: 1)
    network.run(for: .seconds(1))
    let newAddress = SocketAddress("198.51.100.4:999")!
    try network.update(0, about: 1) { $0.candidates = [newAddress] }
    try network.initiate(from: 0, to: 1, .peerChanged)
    #expect(network.sent.filter(\.isInitiation).map(\.destination) == [network[1].address, newAddress])
    network.run(for: .seconds(1))
    #expect(network.sent.count == 2)
    try network.initiate(from: 0, to: 1, .wanted)
    #expect(network.sent.count == 2)
    try network.initiate(from: 0, to: 1, .peerChanged)
    #expect(network.sent.count == 3)
  }

  @Test("two changes in quick succession are two initiations, 100 ms apart")
  func quickChanges() throws {
    let network = try SimulatedNetwork()
    network.blocks = { _ in true }
    try network.initiate(from: 0, to: 1)
    try network.update(0, about: 1) { $0.candidates.append(SocketAddress("198.51.100.4:1")!) }
    try network.update(0, about: 1) { $0.candidates.append(SocketAddress("198.51.100.4:2")!) }
    network.run(for: .seconds(1))
    let times = network.sent.filter(\.isInitiation).map { $0.at - SimulatedNetwork.start }
    #expect(Set(times) == [.zero, .milliseconds(100)])
  }

  @Test("without any address the wish waits for one")
  func noAddress() throws {
    let network = try SimulatedNetwork { configuration, machine, _ in
      if machine == 0 { configuration.candidates = [] }
    }
    network.send(from: 0, to: 1, number: 4)
    network.run(for: .seconds(12))
    #expect(network.sent.isEmpty)
    try network.update(0, about: 1) { _ in }
    network.run(for: .milliseconds(100))
    #expect(network.numbers(at: 1) == [4])
  }

  @Test("the initiator replaces a session that it sends under after 120 s; the responder does not")
  func rekeyByAge() throws {
    let network = try established()
    for second in 1..<119 { network.run(until: SimulatedNetwork.start + .seconds(second)) }
    network.run(until: SimulatedNetwork.start + .seconds(130))
    network.send(from: 1, to: 0, number: 1)
    network.run(for: .seconds(1))
    #expect(network.sent.filter(\.isInitiation).isEmpty)
    network.send(from: 0, to: 1, number: 2)
    network.run(for: .seconds(1))
    #expect(network.sent.filter(\.isInitiation).map(\.sender) == [0])
    #expect(network.numbers(at: 1) == [2])
    #expect(
      network.status(0, of: 1)?.session?.establishedAt ?? SimulatedNetwork.start > SimulatedNetwork.start
        + .seconds(130))
  }

  @Test("the initiator that only receives replaces the session after 165 s, once")
  func rekeyWhileReceiving() throws {
    let network = try established()
    network.run(until: SimulatedNetwork.start + .seconds(160))
    network.send(from: 1, to: 0, number: 1)
    network.run(for: .seconds(1))
    #expect(network.sent.filter(\.isInitiation).isEmpty)
    network.run(until: SimulatedNetwork.start + .seconds(167))
    network.send(from: 1, to: 0, number: 2)
    network.send(from: 1, to: 0, number: 3)
    network.run(for: .seconds(1))
    #expect(network.sent.filter(\.isInitiation).map(\.sender) == [0])
  }

  @Test("after 180 s there is no session: packets under it are refused, and new ones wait for a handshake")
  func rejectAfterTime() throws {
    let network = try established()
    network.run(until: SimulatedNetwork.start + .seconds(179))
    network.faults.latency = .seconds(2)
    network.send(from: 1, to: 0, number: 1)
    #expect(network.sent.last?.isData == true)
    network.run(for: .seconds(2, milliseconds: 500))
    #expect(network.numbers(at: 0).isEmpty, "it came too late")
    network.faults.latency = .milliseconds(10)
    network.forgetSent()
    network.send(from: 1, to: 0, number: 2)
    #expect(network.sent.map(\.type) == [1])
    network.run(for: .seconds(1))
    #expect(network.numbers(at: 0) == [2])
  }

  @Test("two idle peers fall silent: a keepalive is not answered with one")
  func idleSilence() throws {
    let network = try established()
    network.send(from: 0, to: 1, number: 1)
    network.run(for: .seconds(170))
    #expect(network.sent.map(\.type) == [4, 4])
    #expect(network.sent.last?.sender == 1 && network.sent.last?.isKeepalive == true)
  }

  @Test("a passive keepalive comes 10 s after the data that it answers, not after what was sent before it")
  func passiveKeepalive() throws {
    let network = try established()
    network.run(for: .seconds(50))
    let sentAt = network.now
    network.send(from: 0, to: 1, number: 1)
    network.run(for: .seconds(5))
    network.send(from: 0, to: 1, number: 2)
    network.run(for: .seconds(30))
    let keepalives = network.sent(by: 1, \.isKeepalive)
    #expect(keepalives.map { $0.at - sentAt } == [.seconds(10, milliseconds: 10)])
  }

  @Test("data that is answered with data needs no keepalive")
  func answeredData() throws {
    let network = try established()
    for number in 0..<12 as Range<UInt32> {
      network.send(from: 0, to: 1, number: number)
      network.run(for: .seconds(4))
      network.send(from: 1, to: 0, number: number)
      network.run(for: .seconds(4))
    }
    network.send(from: 0, to: 1, number: 99)
    network.run(for: .seconds(1))
    #expect(network.sent.filter(\.isKeepalive).isEmpty)
    #expect(network.sent.filter(\.isInitiation).isEmpty)
  }

  @Test("data that nothing answers asks for a new handshake after 15 s and a jitter")
  func silence() throws {
    var delays: Set<Duration> = []
    for seed in 1...6 as ClosedRange<UInt64> {
      let network = try established(seed)
      network.blocks = { _ in true }
      let sentAt = network.now
      network.send(from: 0, to: 1, number: 1)
      network.run(for: .seconds(16))
      let initiation = try #require(network.sent(by: 0, \.isInitiation).first)
      let delay = initiation.at - sentAt
      #expect(delay >= .seconds(15) && delay < .milliseconds(15_333))
      delays.insert(delay)
    }
    #expect(delays.count == 6, "jitter")
  }

  @Test("silence is measured from the first unanswered packet, though others were answered before")
  func silenceAfterAnswers() throws {
    let network = try established()
    network.send(from: 0, to: 1, number: 1)
    network.run(for: .seconds(1))
    network.send(from: 1, to: 0, number: 1)
    network.run(for: .seconds(9))
    network.blocks = { _ in true }
    let sentAt = network.now
    network.send(from: 0, to: 1, number: 2)
    network.run(for: .seconds(20))
    let delay = try #require(network.sent(by: 0, \.isInitiation).first).at - sentAt
    #expect(delay >= .seconds(15) && delay < .milliseconds(15_333))
  }

  @Test("a receiver of data alone keeps the sender from asking for handshakes")
  func oneWay() throws {
    let network = try established()
    for number in 0..<100 as Range<UInt32> {
      network.send(from: 0, to: 1, number: number)
      network.run(for: .seconds(1))
    }
    #expect(network.sent.filter(\.isInitiation).isEmpty)
    let keepalives = network.sent(by: 1, \.isKeepalive)
    #expect(keepalives.count == 9, "one every 10 to 11 s")
  }

  @Test("key material is wiped after 540 s without a new session")
  func zeroKeyMaterial() throws {
    let network = try established()
    let device = network[0].tunnel.device
    #expect(device.indices.count == 1)
    network.run(until: SimulatedNetwork.start + .seconds(539))
    #expect(device.indices.count == 1)
    network.run(for: .seconds(2))
    #expect(device.indices.count == 0)
    #expect(device.nextDeadline == nil, "nothing is left to wait for")
    network.send(from: 1, to: 0, number: 1)
    network.run(for: .seconds(1))
    #expect(network.numbers(at: 0) == [1])
  }

  @Test("an abandoned handshake leaves nothing behind")
  func zeroAfterAbandoning() throws {
    let network = try SimulatedNetwork()
    network.blocks = { _ in true }
    network.send(from: 0, to: 1)
    network.run(for: .seconds(120))
    let device = network[0].tunnel.device
    #expect(device.indices.count == 0)
    network.run(for: .seconds(600))
    #expect(device.nextDeadline == nil)
  }

  @Test("a persistent keepalive begins the session, keeps it, and is not sent while traffic flows")
  func persistentKeepalive() throws {
    let network = try SimulatedNetwork { configuration, machine, _ in
      if machine == 0 { configuration.persistentKeepalive = .seconds(25) }
    }
    network.run(for: .seconds(1))
    #expect(network.status(0, of: 1)?.state == .established)
    network.forgetSent()
    network.run(for: .seconds(60))
    #expect(network.sent(by: 0, \.isKeepalive).count == 2)
    network.forgetSent()
    for number in 0..<50 as Range<UInt32> {
      network.send(from: 1, to: 0, number: number)
      network.send(from: 0, to: 1, number: number)
      network.run(for: .seconds(1))
    }
    #expect(network.sent(by: 0, \.isKeepalive).isEmpty)
    try network.update(0, about: 1) { $0.persistentKeepalive = nil }
    network.run(for: .seconds(15))
    network.forgetSent()
    network.run(for: .seconds(100))
    #expect(network.sent.isEmpty)
  }

  @Test("an abandoned handshake does not stop passive keepalives")
  func keepalivesAfterAbandoning() throws {
    let network = try established()
    network.run(until: SimulatedNetwork.start + .seconds(20))
    network.blocks = { $0.isInitiation }
    try network.initiate(from: 1, to: 0)
    network.run(for: .seconds(95))
    // Shortly before the end of the attempt data comes under the old session.
    network.send(from: 0, to: 1, number: 1)
    network.run(for: .seconds(9))
    #expect(network.status(1, of: 0)?.state == .established)
    network.blocks = { _ in false }
    network.run(for: .seconds(16))
    network.forgetSent()
    network.send(from: 0, to: 1, number: 2)
    network.run(for: .seconds(11))
    #expect(network.sent(by: 1, \.isKeepalive).count == 1)
  }

  @Test("a persistent keepalive of zero is off, and a tiny one does not spin", arguments: [-5, 0, 1])
  func degeneratePersistentKeepalive(nanoseconds: Int) throws {
    let network = try SimulatedNetwork { configuration, machine, _ in
      if machine == 0 { configuration.persistentKeepalive = .nanoseconds(nanoseconds) }
    }
    network.run(for: .seconds(10))
    let keepalives = network.sent(by: 0, \.isKeepalive).count
    #expect(nanoseconds > 0 ? (9...11).contains(keepalives) : keepalives == 0)
  }

  @Test("a rekey wish for a session that has its successor begins nothing")
  func lateWish() throws {
    let network = try established()
    let old = try #require(network.status(0, of: 1)?.session)
    network.run(for: .seconds(10))
    try network.initiate(from: 0, to: 1)
    network.run(for: .seconds(10))
    let device = network[0].tunnel.device
    let wall = network.wallTime(of: 0)
    #expect(device.handle(.wantsRekey(old.id, peer: old.peer), now: network.now, wallTime: wall).isEmpty)
    let current = try #require(network.status(0, of: 1)?.session)
    #expect(device.handle(.wantsRekey(current.id, peer: old.peer), now: network.now, wallTime: wall).count == 1)
  }

  @Test("a persistent keepalive tries again and again to reach a peer that is away")
  func persistence() throws {
    let network = try SimulatedNetwork { configuration, machine, _ in
      if machine == 0 { configuration.persistentKeepalive = .seconds(25) }
    }
    network.blocks = { _ in true }
    network.run(for: .seconds(3600))
    network.blocks = { _ in false }
    network.run(for: .seconds(40))
    #expect(network.status(0, of: 1)?.state == .established)
  }

  @Test(
    "sessions expire while the machine sleeps, and the first packet afterwards gets through",
    arguments: [100, 200, 600, 86_400])
  func sleep(seconds: Int) throws {
    let network = try established()
    network.send(from: 0, to: 1, number: 1)
    network.run(for: .seconds(1))
    network.sleep(for: .seconds(seconds))
    network.send(from: 0, to: 1, number: 2)
    network.run(for: .seconds(1))
    network.send(from: 1, to: 0, number: 3)
    network.run(for: .seconds(1))
    #expect(network.numbers(at: 1) == [1, 2] && network.numbers(at: 0) == [3])
  }

  @Test("thousands of packets make a handful of events")
  func fewEvents() {
    let words = HeldWords()
    var events = 0
    for step in 0..<10_000 {
      let now = SimulatedNetwork.start + .milliseconds(step)
      if words.recordSent(isData: true, at: now) { events += 1 }
      if words.recordReceived(isData: true, at: now) { events += 1 }
    }
    #expect(events == 2)
  }
}
