import Cryptography
import TestSupport
import Testing
import Wire

@testable import WireGuard

@Suite("Peers, routes and queues") struct PeerTests {
  private let now = SimulatedNetwork.start

  @Test("a peer is refused that has our own key, a weak one, one twice, or half a preshared key")
  func refusedPeers() throws {
    let random = SeededRandom(1)
    let device = Device(privateKey: X25519PrivateKey(random: random), random: random)
    let key = X25519PrivateKey(random: random).publicKey
    let weak = try #require(X25519PublicKey([UInt8](repeating: 0, count: 32)))
    #expect(throws: WireGuardError.ownKey(device.publicKey)) {
      try device.addPeer(PeerConfiguration(publicKey: device.publicKey), now: now)
    }
    #expect(throws: WireGuardError.weakKey(weak)) { try device.addPeer(PeerConfiguration(publicKey: weak), now: now) }
    #expect(throws: WireGuardError.presharedKeyLength(16)) {
      try device.addPeer(
        PeerConfiguration(publicKey: key, presharedKey: SecretBytes([UInt8](repeating: 0, count: 16))), now: now)
    }
    let peer = try device.addPeer(PeerConfiguration(publicKey: key), now: now)
    #expect(throws: WireGuardError.duplicatePeer(key)) {
      try device.addPeer(PeerConfiguration(publicKey: key), now: now)
    }
    #expect(device.peer(key) == peer && device.peerIDs == [peer])
  }

  @Test("a removed peer's sessions are retired, its indices free, and late events about it harmless")
  func removal() throws {
    let network = try SimulatedNetwork()
    network.send(from: 0, to: 1)
    network.run(for: .seconds(1))
    let device = network[0].tunnel.device
    let peer = try #require(network[0].peers[1])
    let session = try #require(network.status(0, of: 1)?.session)
    let retired = device.removePeer(peer).compactMap { action in
      if case .retire(let session) = action { session } else { nil }
    }
    #expect(retired == [session] && device.indices.count == 0 && device.allowedIPs.isEmpty)
    let wall = network.wallTime(of: 0)
    for event in [
      Event.confirmed(session.id, peer: peer), .sourceChanged(peer, network[1].address), .dataSent(peer, at: now),
      .dataReceived(peer, at: now), .wantsRekey(session.id, peer: peer),
      .packetWithoutSession(peer, packet: [1], unusable: nil),
    ] {
      #expect(device.handle(event, now: network.now, wallTime: wall).isEmpty)
    }
    #expect(device.initiate(peer, now: network.now, wallTime: wall).isEmpty)
    #expect(device.nextDeadline == nil)
    let again = try device.addPeer(PeerConfiguration(publicKey: network[1].privateKey.publicKey), now: now)
    #expect(again != peer, "the number is not given out twice")
  }

  @Test("the endpoint follows any authenticated packet, and nothing else")
  func roaming() throws {
    let network = try SimulatedNetwork()
    network.send(from: 0, to: 1, number: 1)
    network.run(for: .seconds(1))
    let moved = SocketAddress("198.51.100.77:1000")!
    network[0].address = moved
    network.send(from: 0, to: 1, number: 2)
    let datagram = try #require(network.sent.last)
    network.run(for: .seconds(1))
    #expect(network.status(1, of: 0)?.endpoint == moved)
    network.send(from: 1, to: 0, number: 3)
    network.run(for: .seconds(1))
    #expect(network.numbers(at: 0) == [3])
    // A replay, and a forgery, from elsewhere.
    let elsewhere = SocketAddress("203.0.113.1:1")!
    network.inject(datagram.bytes, from: elsewhere, into: 1)
    var forged = datagram.bytes
    forged[8] = 200
    network.inject(forged, from: elsewhere, into: 1)
    #expect(network.status(1, of: 0)?.endpoint == moved)
    #expect(network.numbers(at: 1) == [1, 2])
  }

  @Test("a handshake message that somebody calls another peer's comes to nothing, and moves no endpoint")
  func mislabelledHandshake() throws {
    let network = try SimulatedNetwork(machines: 3)
    network.blocks = { _ in true }
    let device = network[0].tunnel.device
    let (owner, other) = (try #require(network[0].peers[1]), try #require(network[0].peers[2]))
    let relay = SocketAddress("[100::2]:1")!
    func receive(_ message: [UInt8], of sender: PeerID) -> [Action] {
      device.receive(message, from: relay, of: sender, now: network.now, wallTime: network.wallTime(of: 0))
    }
    network.send(from: 1, to: 0)
    let initiation = try #require(network.sent.last { $0.isInitiation })
    #expect(receive(initiation.bytes, of: other).isEmpty)
    #expect(network.status(0, of: 1)?.endpoint == nil && network.status(0, of: 1)?.session == nil)

    network.send(from: 0, to: 1)
    let asked = try #require(network.sent.last { $0.isInitiation && $0.sender == 0 })
    let answers = network[1].tunnel.device.receive(
      asked.bytes, from: network[0].address, now: network.now, wallTime: network.wallTime(of: 1))
    let response = try #require(
      answers.compactMap { if case .send(let message, _) = $0 { message } else { nil } }.first)
    #expect(receive(response, of: other).isEmpty)
    #expect(network.status(0, of: 1)?.session == nil)
    // As what it is it counts.
    #expect(!receive(response, of: owner).isEmpty)
    #expect(network.status(0, of: 1)?.endpoint == relay)
  }

  @Test("a packet is believed only if the longest match for its source is the peer that sent it")
  func sourceCheck() throws {
    // Machine 0 has a block around machine 2's address; machine 2 has the address itself.
    let network = try SimulatedNetwork(machines: 3) { configuration, machine, peer in
      if machine == 1, peer == 0 { configuration.allowedIPs.append(IPPrefix("10.200.0.0/16")!) }
    }
    func send(source: Int) {
      let packet = network.packet(from: source, to: 1, number: UInt32(source))
      let output = network[0].tunnel.send(packet, now: network.now, wallTime: network.wallTime(of: 0))
      for datagram in output.datagrams { network.inject(datagram.bytes, from: network[0].address, into: 1) }
    }
    try network.initiate(from: 0, to: 1)
    network.run(for: .seconds(1))
    send(source: 0)
    send(source: 2)
    #expect(network.numbers(at: 1) == [0])
  }

  @Test("of the packets that wait, the newest 128 are kept")
  func stagedPackets() throws {
    let network = try SimulatedNetwork()
    network.faults.latency = .seconds(1)
    for number in 0..<200 as Range<UInt32> { network.send(from: 0, to: 1, number: number) }
    network.run(for: .seconds(4))
    #expect(network.numbers(at: 1) == Array(72..<200))
  }

  @Test("packets that wait are bounded in bytes as well, and the last one is kept whatever its size")
  func stagedBytes() {
    var staged = StagedPackets()
    for _ in 0..<100 { staged.append([UInt8](repeating: 0, count: 65_000)) }
    #expect(staged.count == StagedPackets.maximumBytes / 65_000)
    staged.append([UInt8](repeating: 1, count: 2 * StagedPackets.maximumBytes))
    expect(staged.takeAll().map(\.count) == [2 * StagedPackets.maximumBytes])
    #expect(staged.isEmpty)
  }

  @Test("a packet that crossed the installation of its session is sealed at once; one that the session refused is not")
  func crossing() throws {
    let network = try SimulatedNetwork()
    network.send(from: 0, to: 1)
    network.run(for: .seconds(10))
    let device = network[0].tunnel.device
    let peer = try #require(network[0].peers[1])
    let session = try #require(network.status(0, of: 1)?.session)
    let wall = network.wallTime(of: 0)
    let crossed = device.handle(
      .packetWithoutSession(peer, packet: [1], unusable: nil), now: network.now, wallTime: wall)
    guard crossed.count == 1, case .seal(peer, packets: [[1]]) = crossed[0] else {
      Issue.record("\(crossed)")
      return
    }
    let refused = device.handle(
      .packetWithoutSession(peer, packet: [2], unusable: session.id), now: network.now, wallTime: wall)
    guard refused.count == 1, case .send = refused[0] else {
      Issue.record("\(refused)")
      return
    }
  }

  @Test("three places for sessions: what has none is retired")
  func sessionTable() {
    func session(_ number: UInt64, _ role: Session.Role) -> Session {
      Session(
        id: SessionID(number), peer: PeerID(1), role: role, localIndex: UInt32(number), remoteIndex: 0,
        establishedAt: now)
    }
    var table = SessionTable()
    expect(table.installNext(session(1, .responder)).isEmpty)
    expect(table.promote(SessionID(9)) == nil, "not the next one")
    expect(table.promote(SessionID(1))?.retired.isEmpty == true)
    expect(table.installCurrent(session(2, .initiator)).isEmpty)
    #expect(table.previous?.id.number == 1 && table.current?.id.number == 2)
    expect(table.installNext(session(3, .responder)).map(\.id.number) == [1])
    expect(table.installNext(session(4, .responder)).map(\.id.number) == [3])
    expect(table.installCurrent(session(5, .initiator)).map(\.id.number) == [2])
    #expect(table.previous?.id.number == 4 && table.current?.id.number == 5 && table.next == nil)
    expect(table.removeAll().count == 2)
    #expect(table.all.isEmpty)
  }

  @Test("indices are random, unique while they live, and taken by rejection")
  func indices() {
    // The second allocation is offered the first one's index and must refuse it.
    let random = ScriptedRandom([1, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0])
    var table = IndexTable()
    expect(table.allocate(for: .handshake(PeerID(1)), random) == 1)
    expect(table.allocate(for: .handshake(PeerID(1)), random) == 2)
    table.release(1)
    expect(table.allocate(for: .handshake(PeerID(1)), random) == 1)
    var other = IndexTable()
    let source = SeededRandom(3)
    let indices = (0..<1000).map { _ in other.allocate(for: .handshake(PeerID(1)), source) }
    #expect(Set(indices).count == 1000)
    #expect(!zip(indices, indices.dropFirst()).contains { $1 == $0 &+ 1 })
  }

  @Test("the deadlines come out in order")
  func deadlineQueue() {
    let random = SeededRandom(5)
    var queue = DeadlineQueue<PeerID>()
    let times = (0..<500).map { _ in Instant(nanoseconds: random.uniform(below: 200)) }
    for (number, time) in times.enumerated() { queue.insert(time, PeerID(UInt32(number))) }
    var taken: [Instant] = []
    while queue.first != nil { taken.append(queue.removeFirst().deadline) }
    #expect(taken == times.sorted())
  }

  @Test("an inner packet is one only if its header is whole and its length fits")
  func innerPackets() throws {
    let network = try SimulatedNetwork()
    let packet = network.packet(from: 0, to: 1, payload: 40)
    let parsed = try #require(InnerPacket(packet + [0, 0, 0, 0]))
    #expect(parsed.length == 60 && parsed.source == network[0].meshAddress)
    #expect(parsed.destination == network[1].meshAddress)
    #expect(InnerPacket(Array(packet.dropLast())) == nil)
    for count in 0..<60 { #expect(InnerPacket(Array(packet.prefix(count))) == nil) }
    var short = packet
    short[3] = 19
    #expect(InnerPacket(short) == nil)
    var noHeader = packet
    noHeader[0] = 0x44
    #expect(InnerPacket(noHeader) == nil)
    let six: [UInt8] =
      [0x60, 0, 0, 0, 0, 8, 17, 64] + [UInt8](repeating: 0xfd, count: 16) + [UInt8](repeating: 2, count: 24)
    #expect(InnerPacket(six)?.length == 48)
    for count in 0..<48 { #expect(InnerPacket(Array(six.prefix(count))) == nil) }
    #expect(InnerPacket([0x50] + six.dropFirst()) == nil)
  }

  @Test("IPv6 packets go through as well, and the padding does not come out")
  func ipv6() throws {
    let a = try #require(IPAddress("fd0d:e100:d3c5:1::a"))
    let b = try #require(IPAddress("fd0d:e100:d3c5:1::b"))
    let network = try SimulatedNetwork { configuration, _, peer in
      configuration.allowedIPs.append(IPPrefix(host: peer == 0 ? a : b))
    }
    let packet: [UInt8] = [0x60, 0, 0, 0, 0, 5, 17, 64] + a.bytes + b.bytes + [1, 2, 3, 4, 5]
    try network.initiate(from: 0, to: 1)
    network.run(for: .seconds(1))
    let output = network[0].tunnel.send(packet + [9, 9], now: network.now, wallTime: network.wallTime(of: 0))
    #expect(output.datagrams.map(\.bytes.count) == [48 + 32])
    for datagram in output.datagrams { network.inject(datagram.bytes, from: network[0].address, into: 1) }
    #expect(network.deliveries.map(\.packet) == [packet])
  }
}
