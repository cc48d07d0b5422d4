import Cryptography
import TestSupport
import Testing
import Wire
import WireGuard

@Suite("Transport messages") struct TransportTests {
  private let start = Instant(nanoseconds: 5_000_000_000)

  private func session(_ role: Session.Role = .initiator, remote: UInt32 = 2) -> Session {
    Session(
      id: SessionID(1), peer: PeerID(1), role: role, localIndex: 1, remoteIndex: remote, establishedAt: start)
  }

  @Test("known packets, sealed and opened", .enabled(if: VectorFile.transport.isThere, VectorFile.missing))
  func vectors() throws {
    for vector in try VectorFile.transport.load().list("cases") {
      for packet in try vector.list("packets") {
        let isFromInitiator = try packet.text("direction") == "initiator_to_responder"
        let key = try vector.secret(isFromInitiator ? "initiator_send_key" : "initiator_receive_key")
        let datagram = try packet.bytes("packet")
        let counter = try packet.number("counter")
        let padded = try packet.bytes("padded_plaintext")
        let plain = try packet.bytes("plaintext")
        #expect(TransportMessage.paddedLength(of: plain.count, mtu: 1420) == padded.count)
        let (isTransport, receiver, parsedCounter) = datagram.withUnsafeBytes { bytes in
          (
            TransportMessage.isTransport(bytes.baseAddress!, count: bytes.count),
            TransportMessage.receiverIndex(of: bytes.baseAddress!), TransportMessage.counter(of: bytes.baseAddress!)
          )
        }
        #expect(isTransport && parsedCounter == counter)
        let sealing = Sealer(session(remote: receiver), key: key, startingAt: counter)
        #expect(sealing.seal(padded, at: start) == datagram)
        let opening = Opener(session(), key: key)
        let opened = opening.open(datagram, at: start)
        #expect(opened.outcome == .opened(padded.count) && opened.packet == padded)
        #expect(opening.open(datagram, at: start).outcome == .replayed)
      }
    }
  }

  @Test("padding reaches a multiple of 16, but never beyond the MTU")
  func padding() {
    for (count, mtu, padded) in [
      (0, 1420, 0), (1, 1420, 16), (16, 1420, 16), (17, 1420, 32), (1419, 1420, 1420), (1420, 1420, 1420),
      (1279, 1280, 1280), (1421, 1420, 1436), (2840, 1420, 2840), (5, 0, 16), (5, 8, 8),
    ] {
      #expect(TransportMessage.paddedLength(of: count, mtu: mtu) == padded, "\(count) bytes with MTU \(mtu)")
    }
    for count in 0...3000 {
      let padded = TransportMessage.paddedLength(of: count, mtu: 1280)
      #expect(padded >= count && padded < count + 16)
      if count <= 1280 { #expect(padded <= 1280) }
    }
  }

  @Test("short datagrams and other types are no transport messages")
  func classification() {
    for count in 0..<64 {
      let bytes: [UInt8] = Array(([4, 0, 0, 0] + [UInt8](repeating: 0, count: 64)).prefix(count)) + [0]
      bytes.withUnsafeBytes {
        #expect(TransportMessage.isTransport($0.baseAddress!, count: count) == (count >= 32))
      }
    }
    let bytes: [UInt8] = [4, 0, 1, 0] + [UInt8](repeating: 0, count: 64)
    bytes.withUnsafeBytes { #expect(!TransportMessage.isTransport($0.baseAddress!, count: $0.count)) }
  }

  @Test("counters are taken in order, in runs, and none at or above the limit")
  func counters() {
    let key = SecretBytes([UInt8](repeating: 1, count: 32))
    let sealing = Sealer(session(), key: key)
    #expect(sealing.takeCounters(at: start) == 0)
    #expect(sealing.takeCounters(45, at: start) == 1)
    #expect(sealing.takeCounters(at: start) == 46)
    let last = Sealer(session(), key: key, startingAt: ProtocolConstants.rejectAfterMessages - 3)
    #expect(last.takeCounters(4, at: start) == nil)
    #expect(last.takeCounters(2, at: start) == ProtocolConstants.rejectAfterMessages - 3)
    #expect(last.takeCounters(at: start) == ProtocolConstants.rejectAfterMessages - 1)
    #expect(last.takeCounters(at: start) == nil)
    #expect(last.wantsRekey(at: start))
  }

  @Test("a session is used until it is 180 s old, in neither direction after that")
  func expiry() {
    let key = SecretBytes([UInt8](repeating: 1, count: 32))
    let sealing = Sealer(session(), key: key)
    let opening = Opener(session(), key: key)
    let last = start + .seconds(180) - .nanoseconds(1)
    let datagram = sealing.seal([], at: last)!
    #expect(sealing.takeCounters(at: start + .seconds(180)) == nil)
    #expect(opening.open(datagram, at: start + .seconds(180)).outcome == .expired)
    #expect(opening.open(datagram, at: last).outcome == .opened(0))
  }

  @Test("only the initiator's half asks for a successor because of its age, until that was told")
  func rekeyAges() {
    let key = SecretBytes([UInt8](repeating: 1, count: 32))
    let sealing = Sealer(session(.initiator), key: key)
    #expect(!sealing.wantsRekey(at: start + .seconds(120)))
    #expect(sealing.wantsRekey(at: start + .seconds(121)))
    #expect(sealing.wantsRekey(at: start + .seconds(121)))
    sealing.rekeyIsTold()
    #expect(!sealing.wantsRekey(at: start + .seconds(122)))
    let opening = Opener(session(.initiator), key: key)
    #expect(!opening.wantsRekey(at: start + .seconds(165)))
    #expect(opening.wantsRekey(at: start + .seconds(166)))
    #expect(opening.wantsRekey(at: start + .seconds(166)))
    opening.rekeyIsTold()
    #expect(!opening.wantsRekey(at: start + .seconds(167)))
    let responderSealing = Sealer(session(.responder), key: key)
    let responderOpening = Opener(session(.responder), key: key)
    #expect(!responderSealing.wantsRekey(at: start + .seconds(179)))
    #expect(!responderOpening.wantsRekey(at: start + .seconds(179)))
  }

  @Test("either end asks for a successor after 2⁶⁰ packets", arguments: [Session.Role.initiator, .responder])
  func rekeyCount(role: Session.Role) {
    let key = SecretBytes([UInt8](repeating: 1, count: 32))
    let sealing = Sealer(session(role), key: key, startingAt: ProtocolConstants.rekeyAfterMessages)
    #expect(!sealing.wantsRekey(at: start))
    _ = sealing.takeCounters(at: start)
    #expect(sealing.wantsRekey(at: start))
  }

  @Test("a packet under the wrong key does not move the replay window")
  func windowAfterAuthentication() {
    let sealing = Sealer(session(), key: SecretBytes([UInt8](repeating: 1, count: 32)))
    let opening = Opener(session(), key: SecretBytes([UInt8](repeating: 1, count: 32)))
    let forger = Sealer(
      session(), key: SecretBytes([UInt8](repeating: 2, count: 32)), startingAt: 1 << 40)
    let forged = forger.seal([], at: start)!
    #expect(opening.open(forged, at: start).outcome == .notAuthentic)
    let genuine = sealing.seal([], at: start)!
    #expect(opening.open(genuine, at: start).outcome == .opened(0))
  }

  @Test("a packet confirms a session that the peer initiated, until that was told, and no other")
  func confirmation() {
    let key = SecretBytes([UInt8](repeating: 1, count: 32))
    let responder = Opener(session(.responder), key: key)
    #expect(responder.confirmsSession)
    #expect(responder.confirmsSession)
    responder.confirmationIsTold()
    #expect(!responder.confirmsSession)
    let initiator = Opener(session(.initiator), key: key)
    #expect(!initiator.confirmsSession)
  }

  @Test("the words of a peer tell of the first data packet after each observation, and when waits began")
  func traffic() {
    let words = HeldWords()
    func at(_ seconds: Int) -> Instant { start + .seconds(seconds) }
    #expect(words.observe() == Traffic())
    #expect(!words.recordSent(isData: false, at: at(0)), "a keepalive is no data")
    #expect(words.recordSent(isData: true, at: at(1)))
    for second in 2..<1000 { #expect(!words.recordSent(isData: true, at: at(second))) }
    #expect(words.recordReceived(isData: true, at: at(1000)))
    #expect(!words.recordReceived(isData: true, at: at(1001)))
    #expect(words.observe() == Traffic(unansweredSince: at(1000), lastSent: at(999), lastReceived: at(1001)))
    #expect(words.recordSent(isData: true, at: at(1002)))
    #expect(words.observe() == Traffic(unheardSince: at(1002), lastSent: at(1002), lastReceived: at(1001)))
    #expect(!words.recordReceived(isData: false, at: at(1003)))
    #expect(words.observe() == Traffic(lastSent: at(1002), lastReceived: at(1003)))
  }

  @Test("what could not be told of a peer's packets is told with the next data packet of that direction")
  func rearmed() {
    let words = HeldWords()
    func at(_ seconds: Int) -> Instant { start + .seconds(seconds) }
    #expect(words.recordSent(isData: true, at: at(1)) && words.recordReceived(isData: true, at: at(1)))
    words.rearmSent()
    #expect(!words.recordReceived(isData: true, at: at(2)))
    #expect(!words.recordSent(isData: false, at: at(2)))
    #expect(words.recordSent(isData: true, at: at(3)))
    #expect(!words.recordSent(isData: true, at: at(4)))
    words.rearmReceived()
    #expect(!words.recordSent(isData: true, at: at(5)))
    #expect(words.recordReceived(isData: true, at: at(5)))
    #expect(!words.recordReceived(isData: true, at: at(6)))
  }
}
