import Cryptography
import TestSupport
import Testing
import Wire

@testable import WireGuard

@Suite("The handshake's cryptography", .enabled(if: VectorFile.handshake.isThere, VectorFile.missing))
struct NoiseHandshakeTests {
  private struct Ends {
    let initiator: X25519PrivateKey
    let responder: X25519PrivateKey
    let presharedKey: SecretBytes
    let handshake: InitiatorHandshake
    let initiation: HandshakeInitiation
    let toResponder: HandshakePeer
    let toInitiator: HandshakePeer

    /// As in the vector, up to the initiation.
    init(_ vector: JSONValue) throws {
      let a = try #require(vector["initiator"])
      let b = try #require(vector["responder"])
      initiator = try a.privateKey("static_private")
      responder = try b.privateKey("static_private")
      presharedKey = try vector.secret("preshared_key")
      toResponder = try #require(HandshakePeer(responder.publicKey, local: initiator))
      toInitiator = try #require(HandshakePeer(initiator.publicKey, local: responder))
      let ephemeral = try a.privateKey("ephemeral_private")
      let stamp = WallTime(
        microseconds: Int64(try vector.number("timestamp_unix")) * 1_000_000
          + Int64(try vector.number("timestamp_nanos_before_whitening")) / 1000)
      let index = UInt32(try a.number("index"))
      (handshake, initiation) = try #require(
        InitiatorHandshake.begin(
          initiator, with: toResponder, localIndex: index, ephemeral: ephemeral, timestamp: TAI64N(stamp)))
    }
  }

  @Test("constants")
  func constants() throws {
    let constants = try #require(try VectorFile.handshake.load()["constants"])
    #expect(SymmetricState.initialChainingKey == (try constants.bytes("initial_chaining_key")))
    #expect(SymmetricState.initialHash == (try constants.bytes("initial_hash")))
    #expect(ProtocolConstants.rejectAfterMessages == (try constants.number("reject_after_messages")))
    #expect(ProtocolConstants.rekeyAfterMessages == (try constants.number("rekey_after_messages")))
  }

  @Test("key derivation")
  func keyDerivation() throws {
    for vector in try VectorFile.handshake.load().list("kdf") {
      for count in 1...3 {
        let keys = SymmetricState.derive(try vector.secret("key"), try vector.secret("input"), count: count)
        let expected = try (1...count).map { try vector.secret("t\($0)") }
        #expect(keys == expected)
      }
    }
  }

  @Test("both messages and the session's keys, byte for byte")
  func handshakes() throws {
    for vector in try VectorFile.handshake.load().list("cases") {
      let ends = try Ends(vector)
      let b = try #require(vector["responder"])
      #expect(ends.toResponder.staticSecret == (try vector.secret("static_static_dh")))
      var toResponder = CookieGenerator(ends.responder.publicKey)
      let initiation = toResponder.authenticate(ends.initiation.unauthenticated, at: Instant(nanoseconds: 0))
      #expect(initiation == (try vector.bytes("initiation")))

      #expect(CookieChecker(ends.responder.publicKey).hasValidMAC1(initiation))
      let received = try #require(HandshakeInitiation(initiation))
      var responding = try #require(ResponderHandshake(received, ends.responder))
      #expect(responding.initiator == ends.initiator.publicKey)
      let stamp = responding.openTimestamp(ends.toInitiator)
      #expect(stamp?.bytes == (try vector.bytes("timestamp_tai64n")))
      let index = UInt32(try b.number("index"))
      let ephemeral = try b.privateKey("ephemeral_private")
      let (answer, responderKeys) = try #require(
        responding.respond(localIndex: index, ephemeral: ephemeral, presharedKey: ends.presharedKey))
      var toInitiator = CookieGenerator(ends.initiator.publicKey)
      let response = toInitiator.authenticate(answer.unauthenticated, at: Instant(nanoseconds: 0))
      #expect(response == (try vector.bytes("response")))

      let receivedAnswer = try #require(HandshakeResponse(response))
      let initiatorKeys = try #require(
        ends.handshake.finish(receivedAnswer, ends.initiator, presharedKey: ends.presharedKey))
      #expect(initiatorKeys.send == (try vector.secret("initiator_send_key")))
      #expect(initiatorKeys.receive == (try vector.secret("initiator_receive_key")))
      #expect(responderKeys.send == initiatorKeys.receive && responderKeys.receive == initiatorKeys.send)
    }
  }

  @Test("the keys for mac1")
  func mac1Keys() throws {
    for vector in try VectorFile.handshake.load().list("cases") {
      for end in ["initiator", "responder"].compactMap({ vector[$0] }) {
        let key = try end.privateKey("static_private").publicKey
        #expect(key.bytes.array == (try end.bytes("static_public")))
        #expect(CookieLabels.mac1Key(for: key) == (try end.bytes("mac1_key_for_messages_to_it")))
      }
    }
  }

  @Test("a changed bit anywhere in either message is refused")
  func tampering() throws {
    let vector = try #require(try VectorFile.handshake.load().list("cases").first)
    let ends = try Ends(vector)
    let initiation = try vector.bytes("initiation")
    let checker = CookieChecker(ends.responder.publicKey)
    for index in 0..<132 {
      var changed = initiation
      changed[index] ^= 0x10
      #expect(!checker.hasValidMAC1(changed))
      // An attacker can make mac1 himself. What it covers is authenticated once more, but for the sender index.
      guard (8..<116).contains(index), let message = HandshakeInitiation(changed) else { continue }
      var responding = ResponderHandshake(message, ends.responder)
      let stamp = responding?.openTimestamp(ends.toInitiator)
      #expect(stamp == nil, "byte \(index)")
    }
    let response = try vector.bytes("response")
    for index in 8..<60 {
      var changed = response
      changed[index] ^= 0x10
      let message = try #require(HandshakeResponse(changed))
      #expect(ends.handshake.finish(message, ends.initiator, presharedKey: ends.presharedKey) == nil, "byte \(index)")
    }
  }

  @Test("another preshared key is refused by the initiator")
  func presharedKeyMismatch() throws {
    let vector = try #require(try VectorFile.handshake.load().list("cases").first)
    let ends = try Ends(vector)
    let response = try #require(HandshakeResponse(try vector.bytes("response")))
    #expect(
      ends.handshake.finish(response, ends.initiator, presharedKey: SecretBytes([UInt8](repeating: 6, count: 32)))
        == nil)
    #expect(ends.handshake.finish(response, ends.initiator, presharedKey: ends.presharedKey) != nil)
  }

  @Test("an ephemeral key of small order is refused by either end")
  func smallOrder() throws {
    let vector = try #require(try VectorFile.handshake.load().list("cases").first)
    let ends = try Ends(vector)
    var initiation = try vector.bytes("initiation")
    initiation.replaceSubrange(8..<40, with: [UInt8](repeating: 0, count: 32))
    #expect(ResponderHandshake(try #require(HandshakeInitiation(initiation)), ends.responder) == nil)
    var response = try vector.bytes("response")
    response.replaceSubrange(12..<44, with: [1] + [UInt8](repeating: 0, count: 31))
    let message = try #require(HandshakeResponse(response))
    #expect(ends.handshake.finish(message, ends.initiator, presharedKey: ends.presharedKey) == nil)
    let zero = try #require(X25519PublicKey([UInt8](repeating: 0, count: 32)))
    #expect(HandshakePeer(zero, local: ends.initiator) == nil)
  }
}

@Suite("Time stamps of initiations") struct TAI64NTests {
  @Test("they are ordered as their bytes are, before 1970 and after 2038 too")
  func order() {
    let times = [-10_000_000, -1, 0, 1, 999_999, 1_000_000, 1_700_000_000_000_000, 4_000_000_000_000_000]
      .map { TAI64N(WallTime(microseconds: $0)) }
    for (earlier, later) in zip(times, times.dropFirst()) where earlier != later {
      #expect(earlier < later)
      #expect(earlier.bytes.lexicographicallyPrecedes(later.bytes))
    }
    #expect(TAI64N(WallTime(microseconds: -1)).bytes.prefix(8).last == 0x09)
  }

  @Test("they do not tell the clock more exactly than 17 ms")
  func whitening() {
    #expect(TAI64N(WallTime(microseconds: 20_000)) == TAI64N(WallTime(microseconds: 30_000)))
    #expect(TAI64N(WallTime(microseconds: 20_000)).bytes.suffix(3) == [0, 0, 0])
  }

  @Test("the successor is greater, over the second's end as well")
  func successor() {
    var stamp = TAI64N(WallTime(microseconds: 900_000))
    for _ in 0..<200 {
      #expect(stamp < stamp.successor)
      stamp = stamp.successor
      #expect(TAI64N(stamp.bytes) == stamp)
    }
  }

  @Test("only twelve bytes are one")
  func length() {
    #expect(TAI64N([]) == nil && TAI64N([UInt8](repeating: 0, count: 11)) == nil)
    #expect(TAI64N([UInt8](repeating: 255, count: 13)) == nil)
  }
}
