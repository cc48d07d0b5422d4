public import Cryptography
public import NIOCore
public import Wire

/// The client's side of one connection to a relay, without I/O: the HTTP request, the handshake, frames, and when the connection is
/// to be given up.
///
/// It is handed what came and the time, and appends what is to be sent to a buffer. An error is final.
public struct RelayClientSession: Sendable {
  public enum Event: Hashable, Sendable {
    /// The relay knows this client now: what is sent is delivered, if the relay admitted it.
    case established
    case packet(from: X25519PublicKey, ByteBuffer)
    case peerGone(X25519PublicKey, DERPFrame.PeerGoneReason)
    /// What the relay says is wrong, as one short line; `nil`: nothing any more.
    case health(String?)
    /// The relay restarts: when to come back.
    case restarting(after: Duration)
    /// The answer to a ping of this side.
    case answered(latency: Duration)
  }

  private enum Phase {
    case upgrading
    case greeting
    case established
  }

  /// Without any frame for so long the connection is dead: twice as long as relays keep silent.
  static let readTimeout: Duration = .seconds(120)
  /// For request and handshake together.
  static let handshakeTimeout: Duration = .seconds(10)
  /// Something was sent, and nothing came for so long: ping (`reach.md`, 5 e).
  static let silence: Duration = .milliseconds(500)
  private static let longestHead = 8 << 10
  private static let longestHealth = 200

  private let nodeKey: X25519PrivateKey
  private let random: any RandomSource
  private let host: String
  private let certificate: Bytes32?
  private var phase: Phase
  private var reader = DERPFrameReader()
  private var input = ByteBuffer()
  private var box: NaClBox?
  private let certifiedKey: X25519PublicKey?
  private let startedAt: Instant
  private var lastFrame: Instant
  /// The first packet that was sent since the last frame came.
  private var unheardSince: Instant?
  /// The first ping that was sent since the last frame came.
  private var askedAt: Instant?
  private var ping: (number: UInt64, sentAt: Instant)?
  /// The relay's last ping, as long as it is not answered.
  private var owedPong: UInt64?
  private var introducedAt: Instant?
  /// Of the handshake, and then of the last ping that was answered.
  private var latency: Duration?
  public private(set) var isEstablished = false

  /// - Parameters:
  ///   - certificate: SHA-256 of the leaf that the relay showed; `nil` without TLS.
  ///   - certifiedKey: the relay's key, where its certificates gave it: then nothing is waited for.
  public init(
    nodeKey: X25519PrivateKey, host: String, certificate: Bytes32?, certifiedKey: X25519PublicKey?,
    random: any RandomSource, now: Instant
  ) {
    self.nodeKey = nodeKey
    self.host = host
    self.certificate = certificate
    self.random = random
    self.certifiedKey = certifiedKey
    phase = certifiedKey == nil ? .upgrading : .greeting
    startedAt = now
    lastFrame = now
  }

  /// What is sent first.
  public mutating func start(_ output: inout ByteBuffer) throws(DERPError) {
    output.writeString(
      "GET /derp HTTP/1.1\r\nHost: \(host)\r\nUser-Agent: meshd\r\nConnection: Upgrade\r\nUpgrade: DERP\r\n")
    if let certifiedKey {
      output.writeString("Derp-Fast-Start: 1\r\n\r\n")
      try introduce(to: certifiedKey, &output, startedAt)
    } else {
      output.writeString("\r\n")
    }
  }

  // MARK: Receiving

  /// Takes what came. What the handshake demands is appended to `output`; a ping is answered by `answerPing`.
  public mutating func receive(
    _ bytes: ByteBuffer, _ output: inout ByteBuffer, now: Instant
  ) throws(DERPError) -> [Event] {
    input.writeImmutableBuffer(bytes)
    if expectsHead {
      guard try readHead() else { return [] }
      phase = .greeting
    }
    var events: [Event] = []
    while let frame = try reader.next(&input) {
      lastFrame = now
      unheardSince = nil
      askedAt = nil
      if let event = try handle(frame, &output, now) { events.append(event) }
    }
    input.discardReadBytes()
    return events
  }

  /// What is no relay answers in HTTP also where no answer was asked for, and then its first line says what is wrong.
  private var expectsHead: Bool {
    switch phase {
    case .upgrading: true
    case .greeting: input.readableBytesView.starts(with: Array("HTTP/".utf8))
    case .established: false
    }
  }

  private mutating func handle(
    _ frame: DERPFrame, _ output: inout ByteBuffer, _ now: Instant
  ) throws(DERPError) -> Event? {
    switch (frame, phase) {
    case (.serverKey(let key), .greeting):
      if let certifiedKey {
        guard key == certifiedKey else { throw .badServerKey }
      } else if box == nil {
        try introduce(to: key, &output, now)
      } else {
        throw .unexpected(frame: DERPFrame.Kind.serverKey.rawValue)
      }
      return nil
    case (.serverInfo(let sealed), .greeting):
      guard let box else { throw .unexpected(frame: DERPFrame.Kind.serverInfo.rawValue) }
      try SealedInfo.open(sealed, in: box)
      phase = .established
      isEstablished = true
      latency = introducedAt.map { now - $0 }
      return .established
    case (.receivedPacket(let key, let packet), .established): return .packet(from: key, packet)
    case (.peerGone(let key, let reason), .established): return .peerGone(key, reason)
    case (.ping(let number), .established):
      owedPong = number
      return nil
    case (.pong(let number), .established):
      guard let ping, ping.number == number else { return nil }
      self.ping = nil
      let latency = now - ping.sentAt
      self.latency = latency
      return .answered(latency: latency)
    case (.health(let text), .established): return .health(text.isEmpty ? nil : RelayClientSession.line(text))
    case (.restarting(let reconnectIn, _), .established):
      return .restarting(after: .milliseconds(min(Int64(reconnectIn), 60_000)))
    // What comes only from clients, or too early or late, is of a later version, or harmless.
    default: return nil
    }
  }

  /// A relay's own words stand in one cell of a table, and fill no log.
  private static func line(_ text: String) -> String {
    var line = String.UnicodeScalarView()
    for scalar in text.unicodeScalars.prefix(longestHealth) {
      switch scalar.properties.generalCategory {
      case .control, .format, .lineSeparator, .paragraphSeparator: line.append(" ")
      default: line.append(scalar)
      }
    }
    return String(line)
  }

  /// `true` once the whole head is there, and says that the connection is a relay's now.
  private mutating func readHead() throws(DERPError) -> Bool {
    let view = input.readableBytesView
    guard let end = view.firstRange(of: Array("\r\n\r\n".utf8)) else {
      guard view.count <= RelayClientSession.longestHead else { throw .notUpgraded(status: "a head without end") }
      return false
    }
    let head = String(decoding: view[..<end.lowerBound], as: UTF8.self)
    let status = String(head.prefix { $0 != "\r\n" && $0 != "\n" && $0 != "\r" }.prefix(100))
    guard status.split(separator: " ").dropFirst().first == "101" else { throw .notUpgraded(status: status) }
    input.moveReaderIndex(to: end.upperBound)
    return true
  }

  private mutating func introduce(
    to key: X25519PublicKey, _ output: inout ByteBuffer, _ now: Instant
  ) throws(DERPError) {
    guard let box = NaClBox(nodeKey, key) else { throw .badServerKey }
    self.box = box
    introducedAt = now
    let sealed = SealedInfo.seal(SealedInfo.client(certificate: certificate), in: box, random: random)
    DERPFrame.clientInfo(nodeKey.publicKey, sealed: sealed).write(to: &output)
  }

  // MARK: Sending

  /// - Precondition: at most `DERPFrame.maximumPacket` bytes; the session is established.
  public mutating func send(_ packet: ByteBuffer, to key: X25519PublicKey, _ output: inout ByteBuffer, now: Instant) {
    precondition(packet.readableBytes <= DERPFrame.maximumPacket, "a relayed packet has at most 64 KiB")
    if unheardSince == nil { unheardSince = now }
    DERPFrame.sendPacket(to: key, packet).write(to: &output)
  }

  /// Answers the last ping that is not answered yet. To be called while the connection takes something: then nothing piles up for a
  /// relay that asks and does not read.
  public mutating func answerPing(_ output: inout ByteBuffer) {
    guard let number = owedPong else { return }
    owedPong = nil
    DERPFrame.pong(number).write(to: &output)
  }

  public func notePreferred(_ isHome: Bool, _ output: inout ByteBuffer) {
    DERPFrame.notePreferred(isHome).write(to: &output)
  }

  /// Asks for an answer. If nothing comes soon, not even an answer to an earlier ping, the connection is dead.
  public mutating func sendPing(_ output: inout ByteBuffer, now: Instant) {
    let number = random.uint64()
    ping = (number, now)
    if askedAt == nil { askedAt = now }
    DERPFrame.ping(number).write(to: &output)
  }

  // MARK: Time

  /// Does what is due. Throws `silent` when the connection is to be given up.
  public mutating func advance(_ output: inout ByteBuffer, now: Instant) throws(DERPError) {
    guard isEstablished else {
      guard now - startedAt < RelayClientSession.handshakeTimeout else { throw .silent }
      return
    }
    guard now - lastFrame < RelayClientSession.readTimeout else { throw .silent }
    if let askedAt {
      guard now - askedAt < patience else { throw .silent }
    } else if let unheardSince, now - unheardSince >= RelayClientSession.silence {
      sendPing(&output, now: now)
    }
  }

  public var nextDeadline: Instant {
    guard isEstablished else { return startedAt + RelayClientSession.handshakeTimeout }
    let end = lastFrame + RelayClientSession.readTimeout
    if let askedAt { return min(end, askedAt + patience) }
    guard let unheardSince else { return end }
    return min(end, unheardSince + RelayClientSession.silence)
  }

  private var patience: Duration { max(RelayClientSession.silence, (latency ?? .zero) * 3) }
}
