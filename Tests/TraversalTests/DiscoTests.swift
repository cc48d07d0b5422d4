import Cryptography
import TestSupport
import Testing
import Traversal
import Wire

@Suite("disco on the wire")
struct DiscoTests {
  private static let vectors = "engine/disco.json"
  private static let recorded = "peers/disco.json"
  private static let datagrams = "engine/packet_classification.json"

  @Test(
    "messages are written and read as by others",
    .enabled(if: Fixtures.have(vectors), Comment(rawValue: Fixtures.skipped)))
  func messages() throws {
    for vector in try Fixtures.json(Self.vectors)["messages"]?.array ?? [] {
      let bytes = try #require(vector["hex"]?.string.flatMap { Hex.decode($0) })
      let read = try #require(DiscoMessage(bytes), "\(vector)")
      switch (vector["type"]?.integer, vector["fields"]) {
      case (1, let fields?):
        let id = try transaction(fields)
        let key = fields["node_key"]?.string.flatMap { Hex.decode($0) }.flatMap { X25519PublicKey($0) }
        #expect(read == .ping(id, nodeKey: key, padding: Int(fields["padding"]?.integer ?? 0)))
        #expect(read.bytes == bytes)
      case (2, let fields?):
        let source = try #require(fields["src"]?.string.flatMap { SocketAddress($0) })
        #expect(try read == .pong(transaction(fields), source: source))
        #expect(read.bytes == bytes)
      case (3, let fields?):
        let endpoints = (fields["endpoints"]?.array ?? []).compactMap { $0.string.flatMap { SocketAddress($0) } }
        #expect(read == .callMeMaybe(endpoints))
        #expect(read.bytes == bytes)
      case (let type?, _):
        #expect(read == .unknown(type: UInt8(type)), "the messages of relays over UDP are not spoken")
      default: Issue.record("a vector without type: \(vector)")
      }
    }
  }

  @Test(
    "datagrams sealed by others are opened, and are sealed the same way",
    .enabled(if: Fixtures.have(vectors), Comment(rawValue: Fixtures.skipped)))
  func sealed() throws {
    let sealed = try #require(Fixtures.json(Self.vectors)["sealed"])
    func key(_ name: String) throws -> X25519PrivateKey {
      let bytes = try #require(sealed[name]?.string.flatMap { Hex.decode($0) }, "no \(name)")
      return try #require(X25519PrivateKey(SecretBytes(bytes)))
    }
    let sender = try key("sender_private")
    let receiver = try key("receiver_private")
    let box = try #require(NaClBox(receiver, sender.publicKey))
    for vector in sealed["cases"]?.array ?? [] {
      let packet = try #require(vector["packet"]?.string.flatMap { Hex.decode($0) })
      let plaintext = try #require(vector["plaintext"]?.string.flatMap { Hex.decode($0) })
      let nonce = try #require(vector["nonce"]?.string.flatMap { Hex.decode($0) })
      #expect(DiscoEnvelope.sender(of: packet) == sender.publicKey)
      let message = try #require(DiscoEnvelope.open(packet, in: box))
      #expect(message.bytes == plaintext)
      let back = try #require(NaClBox(sender, receiver.publicKey))
      #expect(DiscoEnvelope.seal(message, from: sender.publicKey, in: back, random: Scripted(nonce)) == packet)
      for index in packet.indices.dropFirst(6) {
        var changed = packet
        changed[index] ^= 1
        // The sender's key is not sealed, but chooses the box.
        if !(6..<38).contains(index) { #expect(DiscoEnvelope.open(changed, in: box) == nil) }
      }
    }
  }

  @Test(
    "what the Go implementation sent is opened and understood, and sealed to the same bytes",
    .enabled(if: Fixtures.have(recorded), Comment(rawValue: Fixtures.skipped)))
  func recordedFromPeer() throws {
    let recording = try Fixtures.json(Self.recorded)
    func bytes(_ json: JSONValue, _ name: String) throws -> [UInt8] {
      try #require(json[name]?.string.flatMap { Hex.decode($0) }, "no \(name)")
    }
    let receiver = try #require(X25519PrivateKey(SecretBytes(bytes(recording, "receiver_private"))))
    let messages = try #require(recording["messages"]?.array)
    #expect(Set(messages.compactMap { $0["kind"]?.string }) == ["ping", "pong", "call-me-maybe"])
    for vector in messages {
      let datagram = try bytes(vector, "datagram")
      #expect(DatagramKind(datagram) == .disco)
      let sender = try #require(DiscoEnvelope.sender(of: datagram))
      let box = try #require(NaClBox(receiver, sender))
      let message = try #require(DiscoEnvelope.open(datagram, in: box))
      let expected: DiscoMessage
      switch vector["kind"]?.string {
      case "ping":
        let key = try #require(X25519PublicKey(bytes(vector, "node_key")))
        expected = try .ping(#require(TransactionID(bytes(vector, "transaction"))), nodeKey: key, padding: 0)
      case "pong":
        let source = try #require(vector["source"]?.string.flatMap { SocketAddress($0) })
        expected = try .pong(#require(TransactionID(bytes(vector, "transaction"))), source: source)
      default:
        expected = .callMeMaybe(
          (vector["endpoints"]?.array ?? []).compactMap { $0.string.flatMap { SocketAddress($0) } })
      }
      #expect(message == expected)
      #expect(try message.bytes == bytes(vector, "plaintext"))
      // A box is the same from both its sides.
      let nonce = Scripted(Array(datagram[38..<62]))
      #expect(DiscoEnvelope.seal(message, from: sender, in: box, random: nonce) == datagram)
    }
  }

  @Test("cut or random bytes are refused, and nothing else happens")
  func damaged() throws {
    let random = SeededRandom(7)
    for type in 1...3 {
      for count in 0..<60 {
        _ = DiscoMessage([UInt8(type), 0] + random.bytes(count))
        _ = DiscoEnvelope.sender(of: DiscoEnvelope.magic + random.bytes(count))
      }
    }
    #expect(DiscoMessage([1, 0] + random.bytes(11)) == nil, "a ping has a transaction")
    #expect(DiscoMessage([2, 0] + random.bytes(29)) == nil, "a pong has an address")
    #expect(DiscoMessage([3, 0] + random.bytes(19)) == .callMeMaybe([]), "half an address is none")
    guard case .callMeMaybe(let many) = DiscoMessage([3, 0] + random.bytes(18 * 5000)) else {
      Issue.record("no call")
      return
    }
    #expect(many.count == 256)
  }

  @Test(
    "what a datagram is, shows by its first bytes",
    .enabled(if: Fixtures.have(datagrams), Comment(rawValue: Fixtures.skipped)))
  func classification() throws {
    for vector in try Fixtures.json(Self.datagrams)["datagrams"]?.array ?? [] {
      let bytes = try #require(vector["hex"]?.string.flatMap { Hex.decode($0) })
      let expected: DatagramKind =
        vector["geneve"]?.bool == true
        ? .relayed
        : ["stun": .stun, "disco": .disco][vector["kind"]?.string ?? ""] ?? .wireGuard
      #expect(DatagramKind(bytes) == expected, "\(vector["name"]?.string ?? "")")
    }
  }

  private func transaction(_ fields: JSONValue) throws -> TransactionID {
    try #require(fields["tx_id"]?.string.flatMap { Hex.decode($0) }.flatMap { TransactionID($0) })
  }
}

/// Gives the bytes it was given.
private struct Scripted: RandomSource {
  let bytes: [UInt8]
  init(_ bytes: [UInt8]) { self.bytes = bytes }
  func fill(_ buffer: UnsafeMutableRawBufferPointer) { buffer.copyBytes(from: bytes.prefix(buffer.count)) }
}
