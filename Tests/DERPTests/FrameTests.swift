import Cryptography
import NIOCore
import TestSupport
import Testing
import Wire

@testable import DERP

@Suite("relay frames")
struct FrameTests {
  private static let vectors = "engine/derp_frames.json"

  @Test(
    "frames of other implementations are read, and written the same",
    .enabled(if: Fixtures.have(vectors), Comment(rawValue: Fixtures.skipped)))
  func recorded() throws {
    let vectors = try Fixtures.json(Self.vectors)
    var count = 0
    for name in ["a", "b", "mesh"] {
      let connection = try #require(vectors["connections"]?[name])
      let frames = (connection["client_to_server"]?.array ?? []) + (connection["server_to_client"]?.array ?? [])
      for recorded in frames {
        let bytes = try #require(recorded["frame"]?.string.flatMap { Hex.decode($0) })
        var buffer = ByteBuffer(bytes: bytes)
        var reader = DERPFrameReader()
        let frame = try #require(try reader.next(&buffer))
        #expect(buffer.readableBytes == 0)
        guard frame != .meshOnly else { continue }
        var written = ByteBuffer()
        frame.write(to: &written)
        #expect(Array(written.readableBytesView) == bytes, "\(recorded["name"]?.string ?? "")")
        count += 1
      }
    }
    #expect(count >= 18)
  }

  @Test(
    "what clients and servers of other implementations say of themselves opens",
    .enabled(if: Fixtures.have(vectors), Comment(rawValue: Fixtures.skipped)))
  func infos() throws {
    let vectors = try Fixtures.json(Self.vectors)
    func key(_ name: String) throws -> X25519PrivateKey {
      let bytes = try #require(vectors["keys"]?[name]?.string.flatMap { Hex.decode($0) })
      return try #require(X25519PrivateKey(SecretBytes(bytes)))
    }
    let server = try key("server_private")
    let client = try key("a_private")
    let box = try #require(NaClBox(server, client.publicKey))
    for (side, name) in [("client_to_server", "client_info_a"), ("server_to_client", "server_info")] {
      for recorded in vectors["connections"]?["a"]?[side]?.array ?? [] {
        let bytes = try #require(recorded["frame"]?.string.flatMap { Hex.decode($0) })
        var buffer = ByteBuffer(bytes: bytes)
        var reader = DERPFrameReader()
        switch try reader.next(&buffer) {
        case .clientInfo(let key, let sealed):
          #expect(key == client.publicKey)
          #expect(try SealedInfo.open(sealed, in: box).text == vectors["decoded_json"]?[name]?.string)
        case .serverInfo(let sealed):
          #expect(try SealedInfo.open(sealed, in: box).text == vectors["decoded_json"]?[name]?.string)
        default: break
        }
      }
    }
  }

  @Test("frames come out whole whatever pieces they come in, and unknown ones are skipped")
  func pieces() throws {
    let random = SeededRandom(5)
    let key = X25519PrivateKey(random: random).publicKey
    var sent: [DERPFrame] = []
    var stream = ByteBuffer()
    for number in 0..<200 {
      if number % 9 == 0 {
        stream.writeInteger(UInt8(0x77))
        stream.writeInteger(UInt32(number))
        stream.writeBytes(random.bytes(number))
      }
      let frame: DERPFrame =
        switch number % 5 {
        case 0: .sendPacket(to: key, ByteBuffer(bytes: random.bytes(Int(random.uniform(below: 3000)))))
        case 1: .ping(random.uint64())
        case 2: .peerGone(key, .notHere)
        case 3: .keepAlive
        default: .health("number \(number)")
        }
      frame.write(to: &stream)
      sent.append(frame)
    }
    var reader = DERPFrameReader()
    var buffer = ByteBuffer()
    var received: [DERPFrame] = []
    while stream.readableBytes > 0 {
      let count = min(stream.readableBytes, Int(1 + random.uniform(below: 700)))
      if var piece = stream.readSlice(length: count) { buffer.writeBuffer(&piece) }
      while let frame = try reader.next(&buffer) { received.append(frame) }
    }
    #expect(received == sent)
  }

  @Test("a packet of 64 KiB passes and a longer one ends the connection, before it is waited for")
  func lengths() throws {
    let key = X25519PrivateKey(random: SeededRandom(1)).publicKey
    var reader = DERPFrameReader()
    var buffer = ByteBuffer()
    DERPFrame.sendPacket(to: key, ByteBuffer(repeating: 7, count: 65536)).write(to: &buffer)
    #expect(try reader.next(&buffer) != nil)
    for (type, count) in [(4, 65536 + 33), (5, 65536 + 33), (0x12, 1001), (2, 20_000), (0x77, 2 << 20), (7, 5000)] {
      var head = ByteBuffer()
      head.writeInteger(UInt8(type))
      head.writeInteger(UInt32(count))
      #expect(throws: DERPError.tooLong(frame: UInt8(type), count: count)) { try reader.next(&head) }
    }
  }

  @Test("frames that are shorter than their type are malformed", arguments: [1, 2, 3, 4, 5, 7, 8, 0x12, 0x13, 0x15])
  func short(type: UInt8) throws {
    var reader = DERPFrameReader()
    var buffer = ByteBuffer()
    buffer.writeInteger(type)
    buffer.writeInteger(UInt32(3))
    buffer.writeBytes([1, 2, 3])
    #expect(throws: DERPError.malformed(frame: type)) { try reader.next(&buffer) }
  }

  @Test("changed frames end in an error, wait for more or are read, and never trap")
  func changed() {
    var (read, refused) = (0, 0)
    for seed in 0..<400 as Range<UInt64> {
      let random = SeededRandom(seed)
      var bytes = Self.stream(of: 20, random)
      for _ in 0...random.uniform(below: 6) {
        let place = Int(random.uniform(below: UInt64(bytes.count)))
        if random.uniform(below: 4) == 0 {
          bytes.remove(at: place)
        } else {
          bytes[place] ^= 1 << UInt8(random.uniform(below: 8))
        }
      }
      var reader = DERPFrameReader()
      var buffer = ByteBuffer(bytes: bytes)
      do { while try reader.next(&buffer) != nil { read += 1 } } catch { refused += 1 }
    }
    #expect(read > 1000 && refused > 50, "\(read) were read, \(refused) streams were refused")
  }

  /// Frames of every type, of real lengths.
  private static func stream(of count: Int, _ random: SeededRandom) -> [UInt8] {
    let key = X25519PrivateKey(random: random).publicKey
    var stream = ByteBuffer()
    for _ in 0..<count {
      let packet = ByteBuffer(bytes: random.bytes(Int(random.uniform(below: 100))))
      let frame: DERPFrame =
        switch random.uniform(below: 9) {
        case 0: .sendPacket(to: key, packet)
        case 1: .receivedPacket(from: key, packet)
        case 2: .ping(random.uint64())
        case 3: .pong(random.uint64())
        case 4: .peerGone(key, .notHere)
        case 5: .keepAlive
        case 6: .notePreferred(true)
        case 7: .serverKey(key)
        default: .health("something is wrong")
        }
      frame.write(to: &stream)
    }
    return Array(stream.readableBytesView)
  }
}
