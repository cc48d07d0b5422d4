import Cryptography
import NIOCore
import TestSupport
import Testing
import Wire

@testable import DERP

@Suite("the client's side of a relay connection, without I/O")
struct SessionTests {
  private let start = Instant(nanoseconds: 1_000_000_000_000)
  private let random = SeededRandom(4)
  private let clientKey: X25519PrivateKey
  private let serverKey: X25519PrivateKey

  init() {
    clientKey = X25519PrivateKey(random: random)
    serverKey = X25519PrivateKey(random: random)
  }

  /// A session that is established, with a relay whose answers take so long.
  private func established(fast: Bool = true, latency: Duration = .zero) throws -> RelayClientSession {
    var client = RelayClientSession(
      nodeKey: clientKey, host: "relay", certificate: nil, certifiedKey: fast ? serverKey.publicKey : nil,
      random: random, now: start)
    var server = RelayServerSession(serverKey: serverKey, certificate: nil, random: random, now: start)
    var toServer = ByteBuffer()
    try client.start(&toServer)
    let request = try #require(try UpgradeRequest.read(&toServer))
    #expect(request.wantsRelay && request.isFastStart == fast)
    var toClient = ByteBuffer()
    if !fast { toClient.writeString("HTTP/1.1 101 Switching Protocols\r\nUpgrade: DERP\r\n\r\n") }
    server.greet(&toClient)
    #expect(try client.receive(toClient, &toServer, now: start).isEmpty)
    guard case .introduced(clientKey.publicKey, namesRelay: false)? = try server.next(&toServer) else {
      Issue.record("no introduction")
      return client
    }
    toClient = ByteBuffer()
    server.admit(&toClient)
    #expect(try client.receive(toClient, &toServer, now: start + latency) == [.established])
    return client
  }

  @Test("a session stands after one exchange, with the key from the certificate or without", arguments: [true, false])
  func establishes(fast: Bool) throws {
    #expect(try established(fast: fast).isEstablished)
  }

  @Test("the head and the first frames may come in one piece or byte by byte")
  func byteByByte() throws {
    var client = RelayClientSession(
      nodeKey: clientKey, host: "relay", certificate: nil, certifiedKey: nil, random: random, now: start)
    var output = ByteBuffer()
    try client.start(&output)
    output = ByteBuffer()
    var stream = ByteBuffer(string: "HTTP/1.1 101 Switching Protocols\r\nUpgrade: DERP\r\n\r\n")
    DERPFrame.serverKey(serverKey.publicKey).write(to: &stream)
    while let piece = stream.readSlice(length: 1) { _ = try client.receive(piece, &output, now: start) }
    #expect(output.readableBytes > 32, "it introduced itself")
  }

  @Test("an answer that is none, one that has no end, and a wrong key end the session")
  func refuses() throws {
    func client(_ key: X25519PublicKey? = nil) throws -> RelayClientSession {
      var session = RelayClientSession(
        nodeKey: clientKey, host: "r", certificate: nil, certifiedKey: key, random: random, now: start)
      var output = ByteBuffer()
      try session.start(&output)
      return session
    }
    var output = ByteBuffer()
    var plain = try client()
    #expect(throws: DERPError.notUpgraded(status: "HTTP/1.1 403 Forbidden")) {
      try plain.receive(ByteBuffer(string: "HTTP/1.1 403 Forbidden\r\n\r\nno"), &output, now: start)
    }
    // Also where no answer was asked for.
    var fast = try client(serverKey.publicKey)
    #expect(throws: DERPError.notUpgraded(status: "HTTP/1.1 502 Bad Gateway")) {
      try fast.receive(ByteBuffer(string: "HTTP/1.1 502 Bad Gateway\r\n\r\nno"), &output, now: start)
    }
    var endless = try client()
    #expect(throws: DERPError.self) {
      try endless.receive(ByteBuffer(string: String(repeating: "a", count: 10_000)), &output, now: start)
    }
    var other = try client(serverKey.publicKey)
    var frames = ByteBuffer()
    DERPFrame.serverKey(X25519PrivateKey(random: random).publicKey).write(to: &frames)
    #expect(throws: DERPError.badServerKey) { try other.receive(frames, &output, now: start) }
    var small = try client(serverKey.publicKey)
    var info = ByteBuffer()
    DERPFrame.serverInfo(sealed: random.bytes(60)).write(to: &info)
    #expect(throws: DERPError.badInfo) { try small.receive(info, &output, now: start) }
  }

  @Test("what a relay says of its health is one line of two hundred characters at most, and nothing ends it")
  func health() throws {
    var session = try established()
    var output = ByteBuffer()
    func hear(_ text: String) throws -> [RelayClientSession.Event] {
      var frame = ByteBuffer()
      DERPFrame.health(text).write(to: &frame)
      return try session.receive(frame, &output, now: start)
    }
    #expect(try hear("full\n2   relay  home\u{2028}\u{1b}[31m") == [.health("full 2   relay  home  [31m")])
    #expect(try hear(String(repeating: "ä", count: 8000)) == [.health(String(repeating: "ä", count: 200))])
    #expect(try hear("") == [.health(nil)])
  }

  @Test("of many pings the last is answered, once")
  func pings() throws {
    var session = try established()
    var (frames, output) = (ByteBuffer(), ByteBuffer())
    for number in 1...50 { DERPFrame.ping(UInt64(number)).write(to: &frames) }
    #expect(try session.receive(frames, &output, now: start).isEmpty)
    #expect(output.readableBytes == 0, "nobody has said that there is room")
    session.answerPing(&output)
    session.answerPing(&output)
    var reader = DERPFrameReader()
    #expect(try reader.next(&output) == .pong(50))
    #expect(output.readableBytes == 0)
  }

  @Test("when data was sent and nothing came for half a second the relay is asked, and given up soon after")
  func silence() throws {
    var session = try established()
    var output = ByteBuffer()
    session.send(ByteBuffer(string: "data"), to: serverKey.publicKey, &output, now: start)
    #expect(session.nextDeadline == start + .milliseconds(500))
    output = ByteBuffer()
    try session.advance(&output, now: start + .milliseconds(500))
    var reader = DERPFrameReader()
    guard case .ping(let number)? = try reader.next(&output) else {
      Issue.record("no ping")
      return
    }
    #expect(session.nextDeadline == start + .milliseconds(1000))
    // An answer settles it.
    var answered = session
    var pong = ByteBuffer()
    DERPFrame.pong(number).write(to: &pong)
    #expect(
      try answered.receive(pong, &output, now: start + .milliseconds(540)) == [.answered(latency: .milliseconds(40))])
    #expect(answered.nextDeadline > start + .seconds(60))
    #expect(throws: DERPError.silent) { try session.advance(&output, now: start + .milliseconds(1000)) }
  }

  @Test("a ping that was asked for is waited for as long, although nothing else was sent")
  func idleSilence() throws {
    var session = try established()
    var output = ByteBuffer()
    session.sendPing(&output, now: start + .seconds(30))
    #expect(session.nextDeadline == start + .milliseconds(30_500))
    // Asking again, as somebody does whose network changes often, gives no more time.
    session.sendPing(&output, now: start + .milliseconds(30_400))
    try session.advance(&output, now: start + .milliseconds(30_499))
    // Whatever comes shows that it lives.
    var alive = session
    var frame = ByteBuffer()
    DERPFrame.keepAlive.write(to: &frame)
    #expect(try alive.receive(frame, &output, now: start + .milliseconds(30_499)).isEmpty)
    #expect(alive.nextDeadline > start + .seconds(60))
    try alive.advance(&output, now: start + .seconds(60))
    #expect(throws: DERPError.silent) { try session.advance(&output, now: start + .milliseconds(30_500)) }
  }

  @Test(
    "a relay that is far away has three round trips for an answer, and the handshake was the first",
    arguments: [true, false])
  func distantRelay(fast: Bool) throws {
    var session = try established(fast: fast, latency: .milliseconds(800))
    let sentAt = start + .seconds(10)
    var output = ByteBuffer()
    session.send(ByteBuffer(string: "data"), to: serverKey.publicKey, &output, now: sentAt)
    try session.advance(&output, now: sentAt + .milliseconds(500))
    #expect(session.nextDeadline == sentAt + .milliseconds(500 + 3 * 800))
    try session.advance(&output, now: sentAt + .milliseconds(500 + 800))
    #expect(throws: DERPError.silent) { try session.advance(&output, now: sentAt + .milliseconds(500 + 3 * 800)) }
  }

  @Test("a connection on which nothing comes for two minutes is given up, and an unfinished one after ten seconds")
  func timeouts() throws {
    var session = try established()
    var output = ByteBuffer()
    try session.advance(&output, now: start + .milliseconds(119_999))
    #expect(throws: DERPError.silent) { try session.advance(&output, now: start + .seconds(120)) }
    var fresh = RelayClientSession(
      nodeKey: clientKey, host: "relay", certificate: nil, certifiedKey: nil, random: random, now: start)
    #expect(throws: DERPError.silent) { try fresh.advance(&output, now: start + .seconds(10)) }
  }
}
