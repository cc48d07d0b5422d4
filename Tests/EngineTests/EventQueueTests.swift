import CLinux
import Cryptography
import Glibc
import TestSupport
import Testing
import Wire
import WireGuard

@testable import DataPath

/// The control side collects nothing until the queue of events is full.
@Suite("a full queue of events")
struct EventQueueTests {
  /// More events than a queue takes.
  private static let many: ClosedRange<UInt32> = 1...3000

  private let link: Link

  init() throws { link = try Link() }

  private func session(_ number: UInt32, _ role: Session.Role, of peer: PeerID = PeerID(1), age: Duration = .zero)
    -> SessionMemory
  {
    SessionMemory(
      Session(
        id: SessionID(UInt64(number)), peer: peer, role: role, localIndex: number, remoteIndex: number,
        establishedAt: .now() - age), keys: SessionKeys(send: link.otherKeys, receive: link.keys))
  }

  /// Sends a packet under each session, or a keepalive, and waits until they were taken.
  private func send(_ packet: [UInt8] = [], under sessions: [SessionMemory], counter: UInt64) {
    let padded = packet + [UInt8](repeating: 0, count: (16 - packet.count % 16) % 16)
    var expected = link.b.peer.receivedBytes
    for (index, session) in sessions.enumerated() {
      var key = SealingKey(session.session, key: link.keys, startingAt: counter)
      var datagram = [UInt8](repeating: 0, count: padded.count + TransportMessage.overhead)
      datagram.replaceSubrange(16..<(16 + padded.count), with: padded)
      _ = key.takeCounters(at: .now())
      datagram.withUnsafeMutableBytes {
        key.seal($0.baseAddress! + 16, count: padded.count, counter: counter, into: $0.baseAddress!)
      }
      link.a.inject(datagram, to: link.b.endpoint)
      expected += UInt64(datagram.count)
      // What a socket has room for.
      if index % 50 == 49 || index == sessions.count - 1 {
        #expect(link.b.sees { link.b.peer.receivedBytes == expected })
      }
    }
  }

  private var refused: UInt64 { link.b.dataPath.drops(.inboundEventQueueFull) }

  /// The sessions, each of which a packet confirmed.
  private func fill() -> [SessionMemory] {
    let sessions = Self.many.map { session($0, .responder) }
    link.b.dataPath.publish(link.table(link.b, link.a, sealing: nil, opening: sessions))
    send(under: sessions, counter: 0)
    return sessions
  }

  @Test("takes no confirmation away: each is told, once, and those that found no room with the next packet")
  func confirmations() throws {
    let sessions = fill()
    let lost = refused
    #expect(lost > 0)
    #expect(link.b.collect { link.b.events.count == sessions.count - Int(lost) })
    send(under: sessions, counter: 1)
    #expect(link.b.collect { link.b.events.count >= sessions.count })
    var confirmed: Set<UInt64> = []
    for case .confirmed(let id, PeerID(1)) in link.b.events { confirmed.insert(id.number) }
    #expect(confirmed.count == sessions.count && link.b.events.count == sessions.count)
    #expect(refused == lost)
  }

  @Test("takes nothing else away that the control side is told of packets that came")
  func received() throws {
    let sessions = fill()
    // An initiator's, of the age at which it wants another while it only receives.
    let aged = session(5000, .initiator, age: .seconds(166))
    let elsewhere = SocketAddress("127.0.0.1:9")!
    link.b.dataPath.publish(link.table(link.b, link.a, sealing: nil, opening: sessions + [aged], endpoint: elsewhere))
    let before = refused
    send(link.packet(link.a, link.b), under: [aged], counter: 0)
    #expect(refused == before + 3)
    #expect(link.b.collect { true })
    link.b.events = []
    func isTold() -> Bool {
      var told: Set<String> = []
      for event in link.b.events {
        switch event {
        case .sourceChanged(PeerID(1), link.a.endpoint): told.insert("source")
        case .dataReceived(PeerID(1), _): told.insert("data")
        case .wantsRekey(SessionID(5000), PeerID(1)): told.insert("rekey")
        default: Issue.record("told \(event)")
        }
      }
      return told.count == 3
    }
    // Another address is due again only after a while.
    for counter in 1..<100 where !isTold() {
      send(link.packet(link.a, link.b), under: [aged], counter: UInt64(counter))
      _ = link.b.collect { true }
      usleep(20_000)
    }
    #expect(isTold())
    #expect(refused == before + 3)
  }

  /// Peers of whom the sending side has two things to tell after a packet for each.
  private func publishPeers() -> [PeerMemory] {
    let peers = Self.many.prefix(Self.many.count / 2).map { PeerMemory(PeerID($0)) }
    var allowedIPs = AllowedIPs()
    for peer in peers { allowedIPs.insert(IPPrefix(host: address(of: peer)), for: peer.id) }
    link.a.dataPath.publish(
      ForwardingTable(
        peers: peers.map { peer in
          let memory = session(peer.id.number, .initiator, of: peer.id)
          // After so many packets it wants another.
          memory.sealing.deinitialize(count: 1)
          memory.sealing.initialize(
            to: SealingKey(memory.session, key: link.keys, startingAt: ProtocolConstants.rekeyAfterMessages + 1))
          return .init(memory: peer, sealing: memory, opening: [memory], endpoint: link.b.endpoint)
        }, policy: .init(allowedIPs: allowedIPs.table(), ownAddresses: [link.a.address], filter: .acceptAll)))
    return peers
  }

  private func address(of peer: PeerMemory) -> IPAddress { IPAddress(v4: 0x0ac9_0000 + peer.id.number) }

  /// Sends a packet to each.
  private func send(to peers: [PeerMemory]) {
    for (index, peer) in peers.enumerated() {
      let before = peer.sentBytes
      link.a.send(
        SamplePacket.make(
          from: "\(link.a.address)", to: "\(address(of: peer))", protocol: 17, ports: (1000, 2000), body: []))
      // What the device has room for.
      if index % 5 == 4 || index == peers.count - 1 { #expect(link.a.sees { peer.sentBytes > before }) }
    }
  }

  private var refusedOfSent: UInt64 { link.a.dataPath.drops(.outboundEventQueueFull) }

  @Test("takes nothing away that the control side is told of packets that are sent: the next ones tell it")
  func sent() {
    let peers = publishPeers()
    send(to: peers)
    let lost = refusedOfSent
    #expect(lost > 0)
    #expect(link.a.collect { link.a.events.count == 2 * peers.count - Int(lost) })
    send(to: peers)
    #expect(link.a.collect { link.a.events.count >= 2 * peers.count })
    var (sending, rekeying): (Set<PeerID>, Set<PeerID>) = ([], [])
    for event in link.a.events {
      switch event {
      case .dataSent(let id, _): sending.insert(id)
      case .wantsRekey(_, let id): rekeying.insert(id)
      default: Issue.record("told \(event)")
      }
    }
    #expect(sending == Set(peers.map(\.id)) && rekeying == sending && link.a.events.count == 2 * peers.count)
    #expect(refusedOfSent == lost)
  }

  @Test("does not keep from the control side that the device was lost")
  func device() {
    send(to: publishPeers())
    let before = refusedOfSent
    let number = link.a.loseDevice()
    #expect(link.a.sees { refusedOfSent > before })
    #expect(link.a.collect { !link.a.losses.isEmpty })
    #expect(link.a.losses == [number])
  }
}
