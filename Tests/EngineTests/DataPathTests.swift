import CLinux
import Cryptography
import Glibc
import TestSupport
import Testing
import Wire
import WireGuard

@testable import DataPath

@Suite("the packet path")
struct DataPathTests {
  @Test(
    "carries packets of every size both ways, without their padding",
    arguments: [DataPath.Threads.one, .onePerDirection])
  func carries(threads: DataPath.Threads) throws {
    let link = try Link(threads: threads)
    link.publishBoth()
    for size in [0, 1, 3, 4, 15, 16, 17, 500, 1248] {
      let body = (0..<size).map { UInt8(truncatingIfNeeded: $0) }
      let out = link.packet(link.a, link.b, body)
      link.a.send(out)
      #expect(link.b.receive() == out, "\(size)")
      let back = link.packet(link.b, link.a, body)
      link.b.send(back)
      #expect(link.a.receive() == back, "\(size)")
    }
    #expect(link.a.peer.sentBytes > 0 && link.a.peer.sentBytes == link.b.peer.receivedBytes)
  }

  @Test("tells what the control side needs, once each")
  func tells() throws {
    let link = try Link()
    link.publishBoth()
    for _ in 0..<10 {
      link.a.send(link.packet(link.a, link.b))
      #expect(link.b.receive() != nil)
    }
    func count(_ machine: Machine, _ isWanted: (Event) -> Bool) -> Int { machine.events.filter(isWanted).count }
    let isConfirmed: (Event) -> Bool = { if case .confirmed(SessionID(200), PeerID(1)) = $0 { true } else { false } }
    let isReceived: (Event) -> Bool = { if case .dataReceived(PeerID(1), _) = $0 { true } else { false } }
    let isSent: (Event) -> Bool = { if case .dataSent(PeerID(1), _) = $0 { true } else { false } }
    #expect(link.b.collect { count(link.b, isConfirmed) > 0 && count(link.b, isReceived) > 0 })
    #expect(link.a.collect { count(link.a, isSent) > 0 })
    #expect(count(link.b, isConfirmed) == 1 && count(link.b, isReceived) == 1 && link.b.events.count == 2)
    #expect(link.a.events.count == 1)
  }

  @Test("hands a packet without a session to the control side, and seals it on demand under the table published before")
  func staged() throws {
    let link = try Link()
    link.a.dataPath.publish(link.table(link.a, link.b, sealing: nil, opening: []))
    link.b.dataPath.publish(link.table(link.b, link.a, sealing: nil, opening: [link.bSession]))
    let packet = link.packet(link.a, link.b, [1, 2, 3])
    link.a.send(packet)
    var staged: [UInt8]?
    #expect(
      link.a.collect {
        for case .packetWithoutSession(PeerID(1), let bytes, nil) in link.a.events { staged = bytes }
        return staged != nil
      })
    #expect(staged == packet)
    link.publishBoth()
    #expect(link.a.dataPath.seal(packet, for: PeerID(1)))
    #expect(link.b.receive() == packet)
  }

  @Test("a session past its age seals and opens nothing")
  func expired() throws {
    let link = try Link(establishedAt: .now() - .seconds(181))
    link.publishBoth()
    let packet = link.packet(link.a, link.b)
    link.a.send(packet)
    var unusable: SessionID?
    #expect(
      link.a.collect {
        for case .packetWithoutSession(_, _, let session) in link.a.events { unusable = session }
        return unusable != nil
      })
    #expect(unusable == SessionID(100))
    #expect(link.b.receive(within: 50) == nil)
  }

  @Test("a repeated, a changed and a foreign datagram go no further")
  func refuses() throws {
    let link = try Link()
    link.publishBoth()
    var key = SealingKey(link.aSession.session, key: link.keys)
    let inner = link.packet(link.a, link.b)
    func sealed(_ packet: [UInt8]) -> [UInt8] {
      let padded = packet + [UInt8](repeating: 0, count: (16 - packet.count % 16) % 16)
      var datagram = [UInt8](repeating: 0, count: padded.count + TransportMessage.overhead)
      let counter = key.takeCounters(at: .now())!
      datagram.withUnsafeMutableBytes { out in
        padded.withUnsafeBytes {
          key.seal($0.baseAddress!, count: padded.count, counter: counter, into: out.baseAddress!)
        }
      }
      return datagram
    }
    let good = sealed(inner)
    link.a.inject(good, to: link.b.endpoint)
    #expect(link.b.receive() == inner)
    link.a.inject(good, to: link.b.endpoint)
    var changed = sealed(inner)
    changed[20] ^= 1
    link.a.inject(changed, to: link.b.endpoint)
    var elsewhere = sealed(inner)
    elsewhere[4] ^= 1
    link.a.inject(elsewhere, to: link.b.endpoint)
    link.a.inject([1, 2, 3], to: link.b.endpoint)
    link.a.inject([UInt8](repeating: 9, count: 148), to: link.b.endpoint)
    // Another peer's source, another machine's destination, and no packet at all.
    link.a.inject(
      sealed(SamplePacket.make(from: "10.200.0.9", to: "10.200.0.2", protocol: 17)), to: link.b.endpoint)
    link.a.inject(
      sealed(SamplePacket.make(from: "10.200.0.1", to: "10.200.0.9", protocol: 17)), to: link.b.endpoint)
    link.a.inject(sealed([UInt8](repeating: 0xff, count: 40)), to: link.b.endpoint)
    let last = link.packet(link.a, link.b, [42])
    link.a.inject(sealed(last), to: link.b.endpoint)
    #expect(link.b.receive() == last)
    let drops = DropReason.allCases.filter { link.b.dataPath.drops($0) > 0 }
    #expect(
      drops == [
        .foreignDatagram, .noSession, .notAuthentic, .replayed, .inboundMalformed, .foreignSource, .foreignDestination,
      ])
    #expect(link.b.dataPath.drops(.foreignDatagram) == 2)
  }

  @Test("reports a new source address, and again as long as the table has another")
  func roams() throws {
    let link = try Link()
    let elsewhere = SocketAddress("127.0.0.1:9")!
    func publish() {
      link.b.dataPath.publish(
        link.table(link.b, link.a, sealing: link.bSession, opening: [link.bSession], endpoint: elsewhere))
    }
    link.a.dataPath.publish(link.table(link.a, link.b, sealing: link.aSession, opening: [link.aSession]))
    publish()
    func changes() -> [SocketAddress] {
      link.b.events.compactMap { if case .sourceChanged(_, let address) = $0 { address } else { nil } }
    }
    func send() {
      link.a.send(link.packet(link.a, link.b))
      #expect(link.b.receive() != nil)
    }
    send()
    #expect(link.b.collect { !changes().isEmpty })
    publish()
    let before = changes().count
    send()
    #expect(link.b.collect { changes().count > before })
    // Each try collects for a moment.
    for _ in 0..<100 where changes().count < before + 3 {
      send()
      _ = link.b.collect { true }
      usleep(20_000)
    }
    #expect(changes().count >= before + 3)
    #expect(Set(changes()) == [link.a.endpoint])
  }

  @Test("handshake messages reach the control side with their source")
  func handshake() throws {
    let link = try Link()
    let message: [UInt8] = [1, 0, 0, 0] + [UInt8](repeating: 7, count: 144)
    link.a.inject(message, to: link.b.endpoint)
    #expect(link.b.collect { !link.b.handshakes.isEmpty })
    #expect(link.b.handshakes == [message])
  }

  @Test("deny-all lets answers in and nothing else")
  func denies() throws {
    let link = try Link()
    link.publishBoth(filter: .denyAll)
    let request = link.packet(link.a, link.b)
    link.a.send(request)
    #expect(link.b.receive(within: 100) == nil)
    #expect(link.b.dataPath.drops(.filtered) == 1)
    // Only now does b speak to a, and a's packets become answers; b's own is one already.
    let answer = SamplePacket.make(from: "10.200.0.2", to: "10.200.0.1", protocol: 17, ports: (2000, 1000))
    link.b.send(answer)
    #expect(link.a.receive() == answer)
    link.a.send(request)
    #expect(link.b.receive() == request)
  }

  @Test(
    "no packet is lost or repeated while tables are swapped, and every old table is freed",
    arguments: [DataPath.Threads.one, .onePerDirection])
  func swapsUnderLoad(threads: DataPath.Threads) throws {
    let link = try Link(threads: threads)
    link.publishBoth()
    let total = 3000
    var received: [Int] = []
    for number in 0..<total {
      let body = withUnsafeBytes(of: UInt32(number).bigEndian) { Array($0) }
      link.a.send(link.packet(link.a, link.b, body))
      if number % 3 == 0 { link.publishBoth() }
      while received.count < number - 30 || (number == total - 1 && received.count < total) {
        guard let packet = link.b.receive() else { break }
        received.append(packet.suffix(4).reduce(0) { $0 << 8 | Int($1) })
      }
    }
    #expect(received == Array(0..<total))
    #expect(link.a.collect { link.a.dataPath.tablesInUse == 0 })
    #expect(link.b.collect { link.b.dataPath.tablesInUse == 0 })
  }
}
