import Cryptography
import Glibc
import TestSupport
import Testing
import Wire
import WireGuard

@testable import DataPath

@Suite("packets over a relay")
struct RelayedPacketTests {
  private func sourceChanges(_ machine: Machine) -> Int {
    machine.events.count { if case .sourceChanged = $0 { true } else { false } }
  }

  @Test(
    "for a peer without an address go to the relay alone, and are opened and delivered as ever, but tell no source",
    arguments: [DataPath.Threads.one, .onePerDirection])
  func relayed(threads: DataPath.Threads) throws {
    let link = try Link(threads: threads)
    link.publishBoth(.relayed)
    for size in [0, 1, 500, 1248] {
      let body = (0..<size).map { UInt8(truncatingIfNeeded: $0) }
      for (from, to) in [(link.a, link.b), (link.b, link.a)] {
        let packet = link.packet(from, to, body)
        from.send(packet)
        #expect(from.collect { !from.relayed.isEmpty })
        #expect(from.relayed.allSatisfy { $0.peer == PeerID(1) })
        #expect(link.relay(from: from, to: to) == 1)
        #expect(to.receive() == packet, "\(size)")
      }
    }
    #expect(link.a.peer.sentBytes > 0 && link.a.peer.sentBytes == link.b.peer.receivedBytes)
    #expect(link.b.peer.lastReceivedNanoseconds > 0)
    let isConfirmed: (Event) -> Bool = { if case .confirmed(SessionID(200), PeerID(1)) = $0 { true } else { false } }
    #expect(link.b.collect { link.b.events.contains(where: isConfirmed) })
    #expect(sourceChanges(link.a) == 0 && sourceChanges(link.b) == 0)
    #expect(link.b.dataPath.drops(.noEndpoint) == 0)
  }

  @Test("a keepalive that the control side asks for goes to the relay too")
  func keepalive() throws {
    let link = try Link()
    link.publishBoth(.relayed)
    #expect(link.a.dataPath.seal([], for: PeerID(1)))
    #expect(link.a.collect { !link.a.relayed.isEmpty })
    #expect(link.a.relayed.map(\.datagram.count) == [TransportMessage.overhead])
  }

  @Test("an address and a relay get the same datagram, of which the second to come is a repetition")
  func both() throws {
    let link = try Link()
    link.publishBoth(.both)
    let packet = link.packet(link.a, link.b, [1, 2, 3])
    link.a.send(packet)
    #expect(link.b.receive() == packet)
    #expect(link.a.collect { !link.a.relayed.isEmpty })
    #expect(link.relay(from: link.a, to: link.b) == 1)
    let last = link.packet(link.a, link.b, [4])
    link.a.send(last)
    #expect(link.b.receive() == last)
    #expect(link.b.sees { link.b.dataPath.drops(.replayed) == 1 })
    #expect(link.a.peer.sentBytes == link.b.peer.receivedBytes)
  }

  @Test("a super-packet is cut, sealed and relayed segment by segment, and joined again")
  func superPacket() throws {
    let link = try Link(offloads: .all)
    link.publishBoth(.relayed)
    var packet = FullPacket()
    packet.payload = (0..<20_000).map { UInt8(truncatingIfNeeded: $0) }
    let (virtio, bytes) = packet.superPacket(segmentSize: 1200)
    var header = [UInt8](repeating: 0, count: VirtioHeader.length)
    header.withUnsafeMutableBytes { virtio.write(to: $0.baseAddress!) }
    link.a.send(header + bytes)
    let segments = packet.segments(of: 1200).count
    #expect(link.a.collect { link.a.relayed.count == segments })
    #expect(link.relay(from: link.a, to: link.b) == segments)
    // How many super-packets it becomes depends on how fast they come.
    var payload: [UInt8] = []
    while payload.count < packet.payload.count, let joined = link.b.receive() {
      payload += joined[(VirtioHeader.length + 40)...]
    }
    #expect(payload == packet.payload)
  }

  @Test("a relay that does not keep up costs its own packets, which are counted, and nobody else's")
  func fullQueue() throws {
    let link = try Link()
    let other = PeerMemory(PeerID(2))
    let session = SessionMemory(
      Session(
        id: SessionID(300), peer: PeerID(2), role: .initiator, localIndex: 300, remoteIndex: 301,
        establishedAt: .now()), keys: SessionKeys(send: link.keys, receive: link.otherKeys))
    var allowedIPs = AllowedIPs()
    allowedIPs.insert(IPPrefix("10.200.0.2")!, for: PeerID(1))
    allowedIPs.insert(IPPrefix("10.200.0.3")!, for: PeerID(2))
    link.publishBoth()
    link.a.dataPath.publish(
      ForwardingTable(
        peers: [
          .init(memory: link.a.peer, sealing: link.aSession, opening: [link.aSession], endpoint: link.b.endpoint),
          .init(memory: other, sealing: session, opening: [session], viaRelay: true),
        ],
        policy: .init(allowedIPs: allowedIPs.table(), ownAddresses: [link.a.address], filter: .acceptAll)))
    let total = 600
    for number in 0..<total {
      link.a.send(
        SamplePacket.make(
          from: "10.200.0.1", to: "10.200.0.3", protocol: 17, body: [UInt8](repeating: 1, count: 1000)))
      guard number % 5 == 0 else { continue }
      let packet = link.packet(link.a, link.b, [UInt8(truncatingIfNeeded: number)])
      link.a.send(packet)
      #expect(link.b.receive() == packet)
    }
    #expect(link.a.collect { link.a.relayed.count + Int(link.a.dataPath.drops(.relayQueueFull)) == total })
    #expect(link.a.dataPath.drops(.relayQueueFull) > 0)
    #expect(link.a.relayed.reduce(0) { $0 + $1.datagram.count } <= 1 << 18)
    #expect(link.a.relayed.reduce(0) { $0 + UInt64($1.datagram.count) } == other.sentBytes)
  }

  @Test("what is no transport message does not enter from a relay, and what does not fit is refused and counted")
  func inletIsBounded() throws {
    let link = try Link(isStarted: false)
    let inlet = link.a.dataPath.relayInlet
    func put(_ bytes: [UInt8]) -> Bool { bytes.withUnsafeBytes { inlet.put($0) } }
    #expect(!put([]))
    #expect(!put([4, 0, 0, 0] + [UInt8](repeating: 0, count: 27)))
    #expect(!put([1, 0, 0, 0] + [UInt8](repeating: 0, count: 144)))
    #expect(!put([4, 0, 0, 0] + [UInt8](repeating: 0, count: RelayInlet.longestMessage)))
    #expect(link.a.dataPath.drops(.relayInletFull) == 0)
    let message: [UInt8] = [4, 0, 0, 0] + [UInt8](repeating: 0, count: 1276)
    var taken = 0
    while put(message) { taken += 1 }
    #expect(taken > 100 && taken < 1000)
    #expect(link.a.dataPath.drops(.relayInletFull) == 1)
  }

  @Test("several relays at once bring everything, and the thread that sleeps is woken for the last of it")
  func producers() throws {
    let link = try Link()
    link.publishBoth(.relayed)
    let each = 2000
    var threads: [pthread_t] = []
    let context = Unmanaged.passRetained(Brought(link.b.dataPath.relayInlet, each))
    for _ in 0..<3 {
      var thread = pthread_t()
      #expect(pthread_create(&thread, nil, bring, context.toOpaque()) == 0)
      threads.append(thread)
    }
    for thread in threads { pthread_join(thread, nil) }
    context.release()
    // Nobody has a session of this number, so each one was looked at and refused.
    #expect(link.b.sees { link.b.dataPath.drops(.noSession) == 3 * each })
  }
}

private final class Brought: Sendable {
  let inlet: RelayInlet
  let count: Int

  init(_ inlet: RelayInlet, _ count: Int) {
    self.inlet = inlet
    self.count = count
  }
}

private func bring(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
  guard let context else { return nil }
  let brought = Unmanaged<Brought>.fromOpaque(context).takeUnretainedValue()
  let message: [UInt8] = [4, 0, 0, 0, 7] + [UInt8](repeating: 0, count: 100)
  for _ in 0..<brought.count {
    while !message.withUnsafeBytes({ brought.inlet.put($0) }) { sched_yield() }
  }
  return nil
}
