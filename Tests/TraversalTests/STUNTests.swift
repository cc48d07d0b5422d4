import TestSupport
import Testing
import Traversal
import Wire

@Suite("STUN")
struct STUNTests {
  private static let path = "engine/stun.json"
  private static let recorded = "peers/stun.json"
  private static let id = TransactionID([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])!
  private static let now = Instant(nanoseconds: 1_000_000_000_000)

  private static func entries(_ name: String) throws -> [JSONValue] {
    try #require(try Fixtures.json(path)[name]?.array)
  }

  private static func hex(_ json: JSONValue, _ name: String) throws -> [UInt8] {
    try #require(json[name]?.string.flatMap { Hex.decode($0) })
  }

  @Test("the answers of many servers give the address", .enabled(if: Fixtures.have(path), "\(Fixtures.skipped)"))
  func responses() throws {
    for vector in try Self.entries("responses") {
      let response = try STUNResponse(parsing: Self.hex(vector, "hex"))
      #expect(response.transactionID.bytes == (try Self.hex(vector, "tx_id")))
      let ip = try #require(vector["addr"]?.string.flatMap { IPAddress($0) })
      #expect(response.address.ip == ip, "\(vector["name"]?.string ?? "")")
      #expect(vector["port"]?.integer == Int64(response.address.port))
    }
  }

  @Test(
    "a datagram is told from others by its first eight bytes", .enabled(if: Fixtures.have(path), "\(Fixtures.skipped)"))
  func classification() throws {
    for vector in try Self.entries("is_stun") {
      #expect(STUNMessage.looksLike(try Self.hex(vector, "hex")) == vector["is_stun"]?.bool)
    }
  }

  @Test(
    "request and response are those of the family, byte for byte",
    .enabled(if: Fixtures.have(path), "\(Fixtures.skipped)"))
  func exchange() throws {
    for vector in try Self.entries("generated") {
      let id = try #require(TransactionID(try Self.hex(vector, "tx_id")))
      let source = try #require(vector["addr_port"]?.string.flatMap { SocketAddress($0) })
      #expect(STUNRequest.bytes(id) == (try Self.hex(vector, "request")))
      #expect(STUNResponse.bytes(id, to: source) == (try Self.hex(vector, "response")))
      var server = STUNServer()
      let answer = server.answer(STUNRequest.bytes(id), from: source, at: Self.now)
      #expect(answer == (try Self.hex(vector, "response")))
    }
  }

  @Test(
    "coturn's client and server are understood, and our request is the one that its server answered",
    .enabled(if: Fixtures.have(recorded), "\(Fixtures.skipped)"))
  func coturn() throws {
    let exchanges = try #require(try Fixtures.json(Self.recorded)["exchanges"]?.array)
    for vector in exchanges {
      let (request, response) = (try Self.hex(vector, "request"), try Self.hex(vector, "response"))
      let source = try #require(vector["source"]?.string.flatMap { SocketAddress($0) })
      let id = try #require(TransactionID(request[8..<20]))
      var server = STUNServer()
      let reply = server.answer(request, from: source, at: Self.now)
      let ours = try #require(reply)
      guard let client = vector["client"]?.string else {
        // Both refuse what must be understood and is not: error 420.
        #expect(throws: STUNMessage.Invalid.unexpected) { try STUNResponse(parsing: response) }
        #expect(ours[..<2] == response[..<2] && ours[..<2] == [1, 0x11])
        continue
      }
      if client == "meshd" { #expect(STUNRequest.bytes(id) == request) }
      #expect(DatagramKind(request) == .stun && DatagramKind(response) == .stun)
      for answer in [response, ours] {
        let read = try STUNResponse(parsing: answer)
        #expect(read.transactionID == id && read.address == source)
      }
      for count in 0..<response.count {
        #expect(throws: STUNMessage.Invalid.self) { try STUNResponse(parsing: Array(response.prefix(count))) }
      }
    }
    #expect(exchanges.count == 4)
  }

  @Test("any address comes back from a response, mapped ones as IPv4")
  func roundTrip() throws {
    let random = SeededRandom(71)
    for _ in 0..<200 {
      let ip =
        random.uint32() % 2 == 0
        ? IPAddress(v4: random.uint32() | 1)
        : IPAddress(v6: UInt128(random.uint64()) << 64 | UInt128(random.uint64() | 1))
      let source = SocketAddress(ip, port: UInt16(random.uniform(below: 65535)) + 1)
      let id = TransactionID(random: random)
      let response = try STUNResponse(parsing: STUNResponse.bytes(id, to: source))
      #expect(response.address == source && response.transactionID == id, "seed 71")
    }
    let mapped = SocketAddress(IPAddress("::ffff:192.0.2.7")!, port: 9)
    #expect(try STUNResponse(parsing: STUNResponse.bytes(Self.id, to: mapped)).address == SocketAddress("192.0.2.7:9"))
  }

  @Test("cut and altered responses are refused or read, and never trap")
  func mutation() throws {
    let random = SeededRandom(72)
    let good = STUNResponse.bytes(Self.id, to: SocketAddress("[2001:db8::1]:3478")!)
    for count in 0..<good.count {
      #expect(throws: STUNMessage.Invalid.self) { try STUNResponse(parsing: Array(good.prefix(count))) }
    }
    var server = STUNServer()
    for _ in 0..<5000 {
      var bytes = random.uint32() % 2 == 0 ? good : STUNRequest.bytes(Self.id)
      for _ in 0...random.uniform(below: 3) {
        bytes[Int(random.uniform(below: UInt64(bytes.count)))] = UInt8(truncatingIfNeeded: random.uint32())
      }
      bytes.removeLast(Int(random.uniform(below: 9)))
      _ = try? STUNResponse(parsing: bytes)
      _ = server.answer(bytes, from: SocketAddress("192.0.2.1:1")!, at: Instant(nanoseconds: random.uint64()))
    }
  }

  @Test("a response without an address, or with one that nobody has, is refused")
  func nowhere() {
    for (ip, port) in [("0.0.0.0", 1), ("192.0.2.1", 0), ("::", 1)] as [(String, UInt16)] {
      let bytes = STUNResponse.bytes(Self.id, to: SocketAddress(IPAddress(ip)!, port: port))
      #expect(throws: STUNMessage.Invalid.unexpected) { try STUNResponse(parsing: bytes) }
    }
    #expect(throws: STUNMessage.Invalid.unexpected) { try STUNResponse(parsing: STUNRequest.bytes(Self.id)) }
    let empty: [UInt8] = [1, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42] + Self.id.bytes
    #expect(throws: STUNMessage.Invalid.unexpected) { try STUNResponse(parsing: empty) }
  }

  // MARK: - The server

  private func request(_ attributes: [UInt8] = []) -> [UInt8] {
    [0, 1, UInt8(attributes.count >> 8), UInt8(attributes.count & 0xff), 0x21, 0x12, 0xa4, 0x42] + Self.id.bytes
      + attributes
  }

  @Test("a bare request is answered, and so is one with attributes that need not be understood")
  func anybody() throws {
    var server = STUNServer()
    let source = SocketAddress("198.51.100.7:4000")!
    for bytes in [request(), request([0x80, 0x22, 0, 3, 0x61, 0x62, 0x63, 0])] {
      let answer = server.answer(bytes, from: source, at: Self.now)
      #expect(try STUNResponse(parsing: #require(answer)).address == source)
    }
  }

  @Test("what is no request, is too long, or has a wrong fingerprint gets no answer")
  func silent() {
    var server = STUNServer()
    let source = SocketAddress("198.51.100.7:4000")!
    var wrong = STUNRequest.bytes(Self.id)
    wrong[39] ^= 1
    var moved = STUNRequest.bytes(Self.id)
    // The fingerprint first, and the software's name behind it.
    moved.replaceSubrange(20..., with: Array(moved[32...]) + Array(moved[20..<32]))
    let indication = [0, 0x11] + request().dropFirst(2)
    let long = request([0x80, 0x22, 0x02, 0x10] + [UInt8](repeating: 0, count: 528))
    #expect(long.count > STUNServer.largestRequest)
    for bytes in [
      [], wrong, moved, indication, long, STUNResponse.bytes(Self.id, to: source), request([0x80, 0x22, 0, 9]),
      request() + [0, 0, 0, 0], request([0x80, 0x22, 0, 3, 0x61, 0x62, 0x63]), request([0x80, 0x22, 0, 0, 0]),
    ] {
      let answer = server.answer(bytes, from: source, at: Self.now)
      #expect(answer == nil)
    }
  }

  @Test("who asks for what is not understood is told so")
  func unknown() throws {
    var server = STUNServer()
    // CHANGE-REQUEST
    let bytes = request([0, 3, 0, 4, 0, 0, 0, 6])
    let reply = server.answer(bytes, from: SocketAddress("198.51.100.7:4000")!, at: Self.now)
    let answer = try #require(reply)
    #expect(Array(answer[..<2]) == [1, 0x11])
    #expect(Array(answer[20...]) == [0, 9, 0, 4, 0, 0, 4, 20, 0, 10, 0, 2, 0, 3, 0, 0])
  }

  @Test("an address gets ten answers in a second, a /64 together as many, and everybody five thousand")
  func rates() {
    var server = STUNServer()
    func answers(_ count: Int, at now: Instant, _ source: (Int) -> SocketAddress) -> Int {
      (0..<count).count { server.answer(request(), from: source($0), at: now) != nil }
    }
    #expect(answers(50, at: Self.now) { SocketAddress(IPAddress("192.0.2.1")!, port: UInt16(1000 + $0)) } == 10)
    let block = UInt128(0x2001_0db8) << 96
    #expect(answers(50, at: Self.now) { SocketAddress(IPAddress(v6: block | UInt128($0 + 1)), port: 1) } == 10)
    #expect(answers(9000, at: Self.now) { SocketAddress(IPAddress(v4: UInt32(0x0a00_0000 + $0)), port: 1) } == 4980)
    let soon = Self.now + .milliseconds(500)
    #expect(answers(50, at: soon) { _ in SocketAddress("192.0.2.1:1")! } == 5, "at no time more than that")
    let later = soon + .seconds(1)
    #expect(answers(50, at: later) { _ in SocketAddress("192.0.2.1:1")! } == 10)
    #expect(answers(9000, at: later) { SocketAddress(IPAddress(v4: UInt32(0x0a00_0000 + $0)), port: 1) } == 4990)
  }
}
