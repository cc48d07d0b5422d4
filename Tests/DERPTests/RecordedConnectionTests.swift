import Cryptography
import NIOCore
import TestSupport
import Testing
import Wire

@testable import DERP

/// What a client and a server of the Go implementation sent each other.
@Suite(
  "relay connections of others, as they were recorded",
  .enabled(if: Fixtures.have("peers/derp.json"), Comment(rawValue: Fixtures.skipped)))
struct RecordedConnectionTests {
  private let recording: JSONValue
  private let server: X25519PrivateKey
  private let a: X25519PrivateKey
  private let b: X25519PrivateKey
  private let now = Instant(nanoseconds: 1_000_000_000_000)
  private let random = SeededRandom(8)
  private static let long = ByteBuffer(repeating: 0, count: 1400)
  private static let discoToNobody = ByteBuffer(
    bytes: [0x54, 0x53, 0xf0, 0x9f, 0x92, 0xac] + [UInt8](repeating: 0, count: 80))
  /// Whom the recorded client looked for in vain.
  private let nobody: X25519PublicKey

  init() throws {
    let recording = try Fixtures.json("peers/derp.json")
    func key(_ name: String) throws -> X25519PrivateKey {
      let bytes = try #require(recording[name]?.string.flatMap { Hex.decode($0) })
      return try #require(X25519PrivateKey(SecretBytes(bytes)))
    }
    self.recording = recording
    server = try key("server_private")
    a = try key("a_private")
    b = try key("b_private")
    nobody = try #require(X25519PrivateKey(SecretBytes([UInt8](repeating: 7, count: 32)))).publicKey
  }

  /// What one side of a connection sent, piece by piece.
  private func sent(by side: String, _ kind: String, _ name: String) throws -> [ByteBuffer] {
    let pieces = try #require(recording[kind]?[name]?.array).filter { $0["from"]?.string == side }
    return try pieces.map { ByteBuffer(bytes: try #require($0["bytes"]?.string.flatMap { Hex.decode($0) })) }
  }

  @Test("our client understands their server from the first byte to the last")
  func theirServer() throws {
    var session = RelayClientSession(
      nodeKey: a, host: "relay", certificate: nil, certifiedKey: nil, random: random, now: now)
    var output = ByteBuffer()
    try session.start(&output)
    var events: [RelayClientSession.Event] = []
    for piece in try sent(by: "server", "connections", "a") {
      events += try session.receive(piece, &output, now: now)
    }
    let expected: [RelayClientSession.Event] = [
      .established, .packet(from: b.publicKey, ByteBuffer(string: "from b to a")), .peerGone(nobody, .notHere),
      .peerGone(b.publicKey, .disconnected),
    ]
    #expect(events == expected)
  }

  @Test("our server understands their client, which waits for its answer or knows its key", arguments: [false, true])
  func theirClient(isFast: Bool) throws {
    var input = ByteBuffer()
    for var piece in try sent(by: "client", isFast ? "fast_start" : "connections", "a") { input.writeBuffer(&piece) }
    let request = try #require(try UpgradeRequest.read(&input))
    #expect(request.wantsRelay && request.isFastStart == isFast)
    var session = RelayServerSession(serverKey: server, certificate: nil, random: random, now: now)
    guard case .introduced(a.publicKey, namesRelay: false)? = try session.next(&input) else {
      Issue.record("it did not introduce itself")
      return
    }
    var output = ByteBuffer()
    session.admit(&output)
    var seen: [String] = []
    while let step = try session.next(&input) {
      switch step {
      case .preferred(let isHome): seen.append("home \(isHome)")
      case .ping(let number): seen.append("ping \(number)")
      case .packet(ByteBuffer(string: "from a to b"), to: b.publicKey): seen.append("short")
      case .packet(Self.long, to: b.publicKey): seen.append("long")
      case .packet(Self.discoToNobody, to: nobody): seen.append("disco")
      default: seen.append("\(step)")
      }
    }
    #expect(seen == ["home true", "ping \(0x0102_0304_0506_0708)", "short", "disco", "long", "home false"])
    #expect(input.readableBytes == 0)
  }

  @Test("every frame is written as it was read", arguments: ["a", "b"], ["client", "server"])
  func frames(name: String, side: String) throws {
    var input = ByteBuffer()
    for var piece in try sent(by: side, "connections", name) { input.writeBuffer(&piece) }
    let head = try #require(input.readableBytesView.firstRange(of: Array("\r\n\r\n".utf8)))
    input.moveReaderIndex(to: head.upperBound)
    let bytes = Array(input.readableBytesView)
    var reader = DERPFrameReader()
    var written = ByteBuffer()
    while let frame = try reader.next(&input) { frame.write(to: &written) }
    #expect(Array(written.readableBytesView) == bytes && !bytes.isEmpty)
  }

  @Test("what they say of themselves opens, and says their version")
  func infos() throws {
    let box = try #require(NaClBox(server, a.publicKey))
    var input = try #require(try sent(by: "client", "connections", "a").dropFirst().first)
    var reader = DERPFrameReader()
    guard case .clientInfo(a.publicKey, let sealed)? = try reader.next(&input) else {
      Issue.record("no client info")
      return
    }
    #expect(try SealedInfo.open(sealed, in: box)["version"]?.integer == 2)
    // Not with another key, and not changed.
    #expect(throws: DERPError.badInfo) { try SealedInfo.open(sealed, in: #require(NaClBox(server, b.publicKey))) }
    for index in sealed.indices {
      var changed = sealed
      changed[index] ^= 1
      #expect(throws: DERPError.badInfo) { try SealedInfo.open(changed, in: box) }
    }
  }
}
