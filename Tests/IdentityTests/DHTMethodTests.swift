import Cryptography
import TestSupport
import Testing
import Wire

@testable import Identity

@Suite("did:dht")
struct DHTMethodTests {
  private static let path = "dwn/parity/did/did-dht-vector-2.json"

  private static func vector() throws -> (DIDDocument, [DNSPacket.TextRecord]) {
    let vector = try #require(try Fixtures.json(path)["vector"])
    let json = try #require(vector["didDocument"])
    let did = try #require(json["id"]?.string.flatMap { DID($0) })
    let records = try #require(vector["dnsRecords"]?.array).filter { $0["type"] == "TXT" }
    return (
      try DIDDocument(json, of: did),
      try records.map {
        DNSPacket.TextRecord(
          name: String(try #require($0["name"]?.string).dropLast()), text: try #require($0["rdata"]?.string))
      }
    )
  }

  @Test(
    "the records of the specification's vector are its document, and the document those records",
    .enabled(if: Fixtures.have(path), "\(Fixtures.skipped)"))
  func specification() throws {
    let (document, records) = try Self.vector()
    let packet = try DNSPacket(parsing: try DNSPacket(records: records).encoded())
    #expect(packet.records == records)
    #expect(try DHTRecords.document(packet, of: document.id) == document)
    // The type index is for finding DIDs, and says nothing about this one.
    #expect(Set(try DHTRecords.records(for: document)) == Set(records.filter { $0.name != "_typ._did" }))
  }

  /// A key, and a document with a key of each kind and a node.
  private static func example() throws -> (Ed25519PrivateKey, DIDDocument) {
    let random = SeededRandom(41)
    let key = Ed25519PrivateKey(random: random)
    let did = DHTMethod.did(for: key.publicKey)
    func method(_ id: String?, _ key: PublicJWK, _ algorithm: String) -> DIDDocument.VerificationMethod {
      var jwk = key.json.object ?? [:]
      jwk["kid"] = .string(id ?? key.thumbprint)
      jwk["alg"] = .string(algorithm)
      return .init(id: "\(did)#\(id ?? key.thumbprint)", publicKeyJWK: .object(jwk))
    }
    var first = method(nil, key.publicJWK, "EdDSA")
    first.id = "\(did)#0"
    let methods = [
      first, method("sig", Secp256k1PrivateKey(random: random).publicJWK, "ES256K"),
      method(nil, P256PrivateKey(random: random).publicJWK, "ES256"),
      method("enc", .x25519(X25519PrivateKey(random: random).publicKey), "ECDH-ES+A256KW"),
    ]
    var document = DIDDocument(
      id: did, verificationMethods: methods, authentication: methods.prefix(3).map(\.id),
      keyAgreement: [methods[3].id])
    document.capabilityDelegation = []
    document.services = [
      .init(
        id: "\(did)#dwn", types: ["DecentralizedWebNode"],
        endpoints: ["https://a.example/dwn", "https://b.example/" + String(repeating: "b", count: 300)])
    ]
    return (key, document)
  }

  @Test("what a key publishes is read back, with its sequence number and its nodes")
  func roundTrip() throws {
    let (key, document) = try Self.example()
    let packet = try DHTPacket(DHTPacket.bytes(document, sequence: 1_763_730_000, key: key), of: document.id)
    #expect(packet.document == document)
    #expect(packet.sequence == 1_763_730_000)
    #expect(packet.document?.dwnEndpoints.count == 2)
    #expect(packet.document?.encryptionKey != nil)
  }

  @Test("the signed bytes are those of BEP 44's own example")
  func bep44() throws {
    // BEP 44, test vector 1: a mutable value that is a bencoded text.
    let bytes = try #require(Hex.decode("77ff84905a91936367c01360803104f92432fcd904a43511876df5cdf3e7e548"))
    let key = try #require(Ed25519PublicKey(bytes))
    let signature = try #require(
      Hex.decode(
        "305ac8aeb6c9c151fa120f120ea2cfb923564e11552d06a5d856091e5e853cff"
          + "1260d3f39e4999684aa92eb73ffd136e6f4f3ecbfda0ce53a1608ecd7ae21f01"))
    #expect(key.verify(signature: signature, of: Array("3:seqi1e1:v12:Hello World!".utf8)))
    // A gateway's packet has the same text under its signature, so this one fails for what it holds alone.
    let did = DHTMethod.did(for: key)
    let packet = signature + [0, 0, 0, 0, 0, 0, 0, 1] + Array("Hello World!".utf8)
    #expect(throws: DIDError.malformed(did, reason: "its packet is not a DNS message")) {
      try DHTPacket(packet, of: did)
    }
  }

  @Test("a gateway that changes a byte anywhere, or gives another key's packet, is not believed")
  func lying() throws {
    let (key, document) = try Self.example()
    let good = try DHTPacket.bytes(document, sequence: 7, key: key)
    for index in good.indices {
      var changed = good
      changed[index] ^= 1
      let error = #expect(throws: DIDError.self) { try DHTPacket(changed, of: document.id) }
      guard case .unreachable? = error else {
        Issue.record("byte \(index)")
        continue
      }
    }
    for bytes in [[], Array(good.dropLast()), good + [0], Array(repeating: 0, count: 2000)] {
      #expect(throws: DIDError.self) { try DHTPacket(bytes, of: document.id) }
    }
    let stranger = DHTMethod.did(for: Ed25519PrivateKey(random: SeededRandom(42)).publicKey)
    #expect(throws: DIDError.self) { try DHTPacket(good, of: stranger) }
  }

  @Test("a document that its owner took back is told from one that is broken")
  func deactivated() throws {
    let (_, document) = try Self.example()
    let packet = DNSPacket(records: [.init(name: "_did." + document.id.methodSpecificID, text: "deactivated")])
    #expect(throws: DIDError.deactivated(document.id)) { try DHTRecords.document(packet, of: document.id) }
  }

  @Test("records that contradict themselves give no document")
  func contradictions() throws {
    let (_, document) = try Self.example()
    let records = try DHTRecords.records(for: document)
    func altered(_ index: Int, _ text: String) -> DNSPacket {
      var records = records
      records[index].text = text
      return DNSPacket(records: records)
    }
    let root = records[0].text
    let other = Base64.encode(Ed25519PrivateKey(random: SeededRandom(43)).publicKey.bytes.array)
    for packet in [
      DNSPacket(records: []), DNSPacket(records: records + [records[1]]), DNSPacket(records: Array(records.dropLast())),
      altered(0, "v=1" + root.dropFirst(3)), altered(0, "v=0;vm=k1,k0"), altered(0, "v=0;vm=k0,k0"), altered(0, "v=0"),
      altered(0, "v=0;vm=k0;auth=k9"), altered(0, "v=0;vm=k0,k9"), altered(0, "v=0;vm=k0;svc=s9"),
      altered(1, "t=0;k=\(other)"), altered(1, "t=9;k=\(other)"), altered(1, "t=1;k=\(other)"), altered(1, "t=0;k=***"),
      altered(1, "t=0"), altered(5, "t=DecentralizedWebNode;se=https://a.example"),
    ] {
      #expect(throws: DIDError.self) { try DHTRecords.document(packet, of: document.id) }
    }
  }

  @Test("a document that records cannot hold is not written")
  func unwritable() throws {
    let (key, document) = try Self.example()
    var comma = document
    comma.services[0].endpoints = ["https://a.example/,b"]
    var foreign = document
    foreign.authentication = ["did:example:x#1"]
    var large = document
    large.alsoKnownAs = [String(repeating: "a", count: 1000)]
    for broken in [comma, foreign, large] {
      #expect(throws: DIDError.self) { try DHTPacket.bytes(broken, sequence: 1, key: key) }
    }
    #expect(throws: DIDError.self) {
      try DHTPacket.bytes(document, sequence: 1, key: Ed25519PrivateKey(random: SeededRandom(44)))
    }
  }

  @Test(
    "a text that is no key in z-base-32 is refused",
    arguments: [
      "did:dht:a", "did:dht:" + String(repeating: "y", count: 51), "did:dht:" + String(repeating: "y", count: 51) + "b",
      "did:dht:" + String(repeating: "v", count: 52), "did:dht:CYUOQAF7ITOP8OHWW4YN5OJG13QAQ83R9ZIHGQNTC5I9ZWRFDFOO",
    ])
  func malformed(text: String) throws {
    let did = try #require(DID(text))
    #expect(throws: DIDError.self) { try DHTMethod.identityKey(of: did) }
  }

  @Test("z-base-32 goes there and back, and has one spelling")
  func zBase32() {
    let random = SeededRandom(45)
    for count in 0..<80 {
      let bytes = random.bytes(count)
      #expect(Base32.zBase32.decode(Base32.zBase32.encode(bytes)) == bytes, "seed 45")
    }
    #expect(Base32.zBase32.encode([0xd4, 0x7a, 0x04]) == "4t7ye")
  }
}

@Suite("DNS packets")
struct DNSPacketTests {
  private static let header: [UInt8] = [0, 0, 0x84, 0, 0, 0, 0, 1, 0, 0, 0, 0]
  private static let tail: [UInt8] = [0, 16, 0, 1, 0, 0, 0, 9, 0, 2, 1, 0x61]

  @Test("names are compressed, and read back")
  func compression() throws {
    let names = ["_did.abc", "_k0._did", "_k1._did", "_did", "_k0._did.abc"]
    let packet = DNSPacket(records: names.map { .init(name: $0, text: "x") })
    let bytes = try packet.encoded()
    #expect(try DNSPacket(parsing: bytes) == packet)
    #expect(bytes.count < 12 + names.reduce(0) { $0 + $1.utf8.count + 2 + 12 })
  }

  @Test(
    "a name that points at itself, forward or in a circle is refused",
    arguments: [
      [0xc0, 12], [0xc0, 13], [0xc0, 14], [1, 0x61, 0xc0, 12], [0xc0, 200], [0xff, 0xff], [0xc0, 0], [0x40, 1],
      [0x80, 1],
    ] as [[UInt8]])
  func loops(name: [UInt8]) {
    #expect(throws: DNSPacket.Invalid.self) { try DNSPacket(parsing: Self.header + name + Self.tail) }
  }

  @Test("a long name, a dot in a label, and a text that is not UTF-8 are refused")
  func forms() throws {
    let long = Array(repeatElement([60] + [UInt8](repeating: 0x61, count: 60), count: 5).joined()) + [0]
    #expect(throws: DNSPacket.Invalid.name) { try DNSPacket(parsing: Self.header + long + Self.tail) }
    #expect(throws: DNSPacket.Invalid.name) { try DNSPacket(parsing: Self.header + [1, 0x2e, 0] + Self.tail) }
    #expect(throws: DNSPacket.Invalid.text) {
      try DNSPacket(parsing: Self.header + [1, 0x61, 0] + Self.tail.dropLast() + [0xff])
    }
    let read = try DNSPacket(parsing: Self.header + [1, 0x41, 0] + Self.tail)
    #expect(read.records == [.init(name: "a", text: "a", timeToLive: 9)])
  }

  @Test("more records than a document has are refused before they are read")
  func counts() {
    let header: [UInt8] = [0, 0, 0x84, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0]
    #expect(throws: DNSPacket.Invalid.count) { try DNSPacket(parsing: header) }
  }

  @Test("mutated and cut packets are read or refused, and never trap")
  func mutation() throws {
    let random = SeededRandom(46)
    let good = try DNSPacket(
      records: (0..<6).map { .init(name: "_k\($0)._did", text: "t=0;k=\($0)") } + [.init(name: "_did.x", text: "")]
    ).encoded()
    for _ in 0..<2000 {
      var bytes = good
      for _ in 0..<(1 + random.uniform(below: 4)) {
        bytes[Int(random.uniform(below: UInt64(bytes.count)))] = UInt8(truncatingIfNeeded: random.uint32())
      }
      bytes.removeLast(Int(random.uniform(below: 8)))
      let packet = try? DNSPacket(parsing: bytes)
      #expect((packet?.records.count ?? 0) <= DNSPacket.maximumRecords, "seed 46")
    }
    for count in 0..<good.count {
      #expect(throws: DNSPacket.Invalid.self) { try DNSPacket(parsing: Array(good.prefix(count))) }
    }
  }

  @Test("bytes after the last record are refused")
  func trailing() throws {
    let good = try DNSPacket(records: [.init(name: "a", text: "b")]).encoded()
    #expect(throws: DNSPacket.Invalid.trailing) { try DNSPacket(parsing: good + [0]) }
  }
}
