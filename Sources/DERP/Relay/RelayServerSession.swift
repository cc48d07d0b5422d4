import Cryptography
import NIOCore
import Wire

/// The server's side of one connection, without I/O: greeting, admission, frames.
struct RelayServerSession {
  enum Step {
    /// Admit the client or close. That it is the holder of this key is certain only if it names the relay's certificate; otherwise
    /// another relay may pass on what the holder said there.
    case introduced(X25519PublicKey, namesRelay: Bool)
    case packet(ByteBuffer, to: X25519PublicKey)
    case ping(UInt64)
    case preferred(Bool)
    /// Anything else that was understood: it shows that the client lives.
    case nothing
  }

  private let serverKey: X25519PrivateKey
  private let certificate: Bytes32?
  private let random: any RandomSource
  private var reader = DERPFrameReader()
  private var box: NaClBox?
  private var isAdmitted = false
  private var notHereBudget: TokenBucket

  /// - Parameter certificate: SHA-256 of the leaf that the relay shows; `nil` without TLS.
  init(serverKey: X25519PrivateKey, certificate: Bytes32?, random: any RandomSource, now: Instant) {
    self.serverKey = serverKey
    self.certificate = certificate
    self.random = random
    notHereBudget = TokenBucket(capacity: 3, interval: .seconds(1), now: now)
  }

  func greet(_ output: inout ByteBuffer) { DERPFrame.serverKey(serverKey.publicKey).write(to: &output) }

  /// The next thing the client did; `nil` until more has come. After `introduced` nothing is taken before `admit`.
  mutating func next(_ input: inout ByteBuffer) throws(DERPError) -> Step? {
    guard box == nil || isAdmitted else { return nil }
    guard let frame = try reader.next(&input) else { return nil }
    guard isAdmitted else {
      guard case .clientInfo(let key, let sealed) = frame, let box = NaClBox(serverKey, key) else { throw .badInfo }
      let namesRelay = try SealedInfo.names(certificate, in: SealedInfo.open(sealed, in: box))
      self.box = box
      return .introduced(key, namesRelay: namesRelay)
    }
    switch frame {
    case .sendPacket(let key, let packet): return .packet(packet, to: key)
    case .ping(let number): return .ping(number)
    case .notePreferred(let isHome): return .preferred(isHome)
    case .pong: return .nothing
    // What relays of a region say to each other: there are none, and nobody here has the right to it.
    case .meshOnly: throw .unexpected(frame: DERPFrame.Kind.forwardPacket.rawValue)
    case .serverKey, .clientInfo, .serverInfo, .receivedPacket, .keepAlive, .peerGone, .health, .restarting:
      return .nothing
    }
  }

  mutating func admit(_ output: inout ByteBuffer) {
    guard let box else { return }
    isAdmitted = true
    DERPFrame.serverInfo(sealed: SealedInfo.seal(SealedInfo.server, in: box, random: random)).write(to: &output)
  }

  /// Whether to tell that nobody of a key is here: once a second.
  mutating func maySayNotHere(now: Instant) -> Bool { notHereBudget.take(at: now) }
}
