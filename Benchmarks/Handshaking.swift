import CSodium
import Cryptography
import Wire
import WireGuard

/// WireGuard handshakes, both ends in one thread, beside the primitives that they cannot do without.
///
/// With the product of the two static keys computed once for a peer, each end of a handshake has one new key pair and three
/// products left: two multiplications of the base point and six of other points. The key schedule of both ends takes 42 HMACs and 14
/// hashes, the messages four MACs and eight sealed fields (WireGuard, 5.4).
struct Handshaking: Benchmark {
  let title = "WireGuard handshakes, one core for both ends"

  func figures(_ effort: Effort) throws -> [Figure] {
    var pair = try HandshakingPair()
    precondition(sodium_init() >= 0)
    let primitives = HandshakePrimitives()
    let rates = Interleaving.rates([
      Contender(name: "handshakes") { count in
        for _ in 0..<count { pair.handshake() }
      },
      Contender(name: "primitives") { count in
        for _ in 0..<count { primitives.perform() }
      },
      Contender(name: "X25519") { count in
        for _ in 0..<count { primitives.multiply() }
      },
    ])
    let limit = Figure("primitives of a handshake", rates[1], "handshakes/s")
    return [
      Figure("handshakes", rates[0], versus: limit), limit,
      Figure("X25519 of a handshake, libsodium", rates[2], "handshakes/s"),
    ]
  }
}

/// As many of each primitive as a handshake has, on inputs of the same lengths.
private struct HandshakePrimitives {
  private let scalar = SystemRandom().bytes(32)
  private let point: [UInt8]
  private let key = SecretBytes(SystemRandom().bytes(32))
  private let previous = SystemRandom().bytes(32)
  private let message = SystemRandom().bytes(116)

  init() {
    var point = [UInt8](repeating: 0, count: 32)
    crypto_scalarmult_base(&point, scalar)
    self.point = point
  }

  func perform() {
    multiply()
    for _ in 0..<42 { use(BLAKE2s.hmac(key: scalar, previous, [1])) }
    for _ in 0..<14 { use(BLAKE2s.hash(previous, scalar)) }
    for length in [116, 116, 60, 60] { use(BLAKE2s.mac(key: scalar, message[..<length])) }
    for _ in 0..<4 {
      let field = ChaCha20Poly1305.seal(previous, key: key, counter: 0, additionalData: scalar)
      use(ChaCha20Poly1305.open(field, key: key, counter: 0, additionalData: scalar))
    }
  }

  func multiply() {
    var product = point
    for _ in 0..<2 { crypto_scalarmult_base(&product, scalar) }
    for _ in 0..<6 { use(crypto_scalarmult(&product, scalar, point)) }
  }
}

/// Two machines that know each other, and a clock that runs as fast as they talk.
private struct HandshakingPair {
  private let initiator, responder: Tunnel
  private let peer: PeerID
  private let initiatorAddress = SocketAddress(IPAddress(v4: 0xc000_0201), port: 41641)
  private let responderAddress = SocketAddress(IPAddress(v4: 0xc000_0202), port: 41641)
  private var now = Instant(nanoseconds: 1_000_000_000)
  private var wallTime = WallTime(seconds: 1_800_000_000)

  init() throws {
    let random = SystemRandom()
    let keys = (X25519PrivateKey(random: random), X25519PrivateKey(random: random))
    initiator = Tunnel(privateKey: keys.0, random: random)
    responder = Tunnel(privateKey: keys.1, random: random)
    peer = try initiator.addPeer(
      PeerConfiguration(publicKey: keys.1.publicKey, candidates: [responderAddress]), now: now)
    _ = try responder.addPeer(PeerConfiguration(publicKey: keys.0.publicKey, candidates: [initiatorAddress]), now: now)
  }

  /// Initiation, response, and the first packet of the session, which confirms it.
  mutating func handshake() {
    // Past every gap that the protocol keeps between two handshakes.
    now = now + .seconds(6)
    wallTime = wallTime + .seconds(6)
    let initiation = initiator.initiate(peer, now: now, wallTime: wallTime)
    let response = responder.receive(
      initiation.datagrams[0].bytes, from: initiatorAddress, now: now, wallTime: wallTime)
    let confirmation = initiator.receive(
      response.datagrams[0].bytes, from: responderAddress, now: now, wallTime: wallTime)
    let end = responder.receive(confirmation.datagrams[0].bytes, from: initiatorAddress, now: now, wallTime: wallTime)
    precondition(!end.completedHandshakes.isEmpty, "the handshake did not end in a session")
  }
}
