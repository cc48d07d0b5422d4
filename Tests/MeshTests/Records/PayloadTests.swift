import Cryptography
import DWN
import Identity
import Mesh
import TestSupport
import Testing
import Wire

@Suite("Record payloads")
struct PayloadTests {
  static let time = WallTime(seconds: 1_795_262_400)

  @Test(
    "the recorded payloads are read, and what they say is written again",
    .enabled(if: RecordedNetwork.isAtHand, Comment(rawValue: Fixtures.skipped)))
  func recorded() throws {
    let network = try RecordedNetwork()
    let cipher = try network.cipher(of: "anchor")
    let records = try network.records().filter { $0.write.protocolURI == MeshProtocol.uri }
    #expect(records.count > 10)
    for record in records {
      let plaintext = try cipher.open(record.write, data: record.data)
      let type = try #require(Self.type(at: record.write.path))
      let payload = try type.init(parsing: plaintext)
      #expect(payload.json == (try JSONValue(parsing: plaintext)), "\(record.name)")
      #expect(try JSONValue(parsing: payload.encoded()) == payload.json, "\(record.name)")
    }
  }

  @Test("a network is read with one endpoint, with several, and with none")
  func network() throws {
    func endpoints(_ text: String) throws -> [String] {
      try NetworkRecord(parsing: Array((#"{"name":"a","meshCIDR":"10.1.2.3/16""# + text + "}").utf8)).anchorEndpoints
    }
    #expect(try endpoints("") == [])
    #expect(try endpoints(#","anchorEndpoint":"http://a""#) == ["http://a"])
    #expect(try endpoints(#","anchorEndpoint":"http://a","anchorEndpoints":null"#) == ["http://a"])
    #expect(
      try endpoints(#","anchorEndpoint":"http://a","anchorEndpoints":["http://b","http://c"]"#) == [
        "http://b", "http://c",
      ])
    let network = try NetworkRecord(parsing: Array(#"{"name":"a","meshCIDR":"10.1.2.3/16","later":1}"#.utf8))
    #expect(network.meshCIDR == IPPrefix("10.1.0.0/16"))
    #expect(network.suffix == "mesh.local")
  }

  @Test(
    "a network without a name or without room for machines is refused",
    arguments: [
      #"{"meshCIDR":"10.0.0.0/16"}"#, #"{"name":"","meshCIDR":"10.0.0.0/16"}"#, #"{"name":"a"}"#,
      #"{"name":"a","meshCIDR":"10.0.0.0/31"}"#, #"{"name":"a","meshCIDR":"fd00::/48"}"#,
      #"{"name":"a","meshCIDR":"10.0.0.1"}"#,
      #"{"name":3,"meshCIDR":"10.0.0.0/16"}"#, "[]", "x", "",
    ])
  func badNetwork(text: String) {
    #expect(throws: MeshError.self) { try NetworkRecord(parsing: Array(text.utf8)) }
  }

  @Test("times of a node may have any fraction and offset", arguments: ["", ".0", ".123", ".123456789"])
  func times(fraction: String) throws {
    for zone in ["Z", "+00:00"] {
      let text = #"{"meshIP":"10.0.0.2","addedAt":"2026-11-21T12:00:00\#(fraction)\#(zone)"}"#
      #expect(try NodeRecord(parsing: Array(text.utf8)).addedAt.unixSeconds == Self.time.unixSeconds)
    }
  }

  @Test("null stands for an absent member, and unknown members do not matter")
  func nulls() throws {
    let node = try NodeRecord(
      parsing: Array(
        #"{"meshIP":"10.0.0.2","addedAt":"2026-11-21T12:00:00Z","label":null,"ownerDID":null,"expiresAt":null,"allowedIPs":null,"x":[{}]}"#
          .utf8))
    #expect(node == NodeRecord(meshIP: IPAddress(v4: 10 << 24 | 2), addedAt: Self.time))
    let endpoint = try EndpointRecord(
      parsing: Array(
        #"{"publicEndpoints":null,"localEndpoints":null,"natType":null,"relay":null,"updatedAt":"2026-11-21T12:00:00Z"}"#
          .utf8))
    #expect(endpoint == EndpointRecord(updatedAt: Self.time))
  }

  @Test("the owner of a node is ownerDID, else memberDID")
  func owner() throws {
    let one = try #require(DID("did:example:one"))
    let two = try #require(DID("did:example:two"))
    let node = NodeRecord(meshIP: IPAddress(v4: 1), addedAt: Self.time)
    #expect(node.owner == nil)
    var owned = node
    owned.memberDID = two
    #expect(owned.owner == two)
    owned.ownerDID = one
    #expect(owned.owner == one)
  }

  @Test("a node expires at its time, not after it")
  func expiry() {
    var node = NodeRecord(meshIP: IPAddress(v4: 1), addedAt: Self.time)
    #expect(!node.hasExpired(at: WallTime(microseconds: .max)))
    node.expiresAt = Self.time
    #expect(node.hasExpired(at: Self.time))
    #expect(!node.hasExpired(at: Self.time + .microseconds(-1)))
  }

  @Test(
    "a node with an address, a time or a DID that is none is refused",
    arguments: [
      #"{"addedAt":"2026-11-21T12:00:00Z"}"#, #"{"meshIP":"fd00::1","addedAt":"2026-11-21T12:00:00Z"}"#,
      #"{"meshIP":"10.0.0.2/32","addedAt":"2026-11-21T12:00:00Z"}"#, #"{"meshIP":"10.0.0.2"}"#,
      #"{"meshIP":"10.0.0.2","addedAt":"yesterday"}"#,
      #"{"meshIP":"10.0.0.2","addedAt":"2026-11-21T12:00:00Z","expiresAt":"never"}"#,
      #"{"meshIP":"10.0.0.2","addedAt":"2026-11-21T12:00:00Z","ownerDID":"carol"}"#,
      #"{"meshIP":"10.0.0.2","addedAt":"2026-11-21T12:00:00Z","allowedIPs":"10.0.0.0/8"}"#,
    ])
  func badNode(text: String) {
    #expect(throws: MeshError.self) { try NodeRecord(parsing: Array(text.utf8)) }
  }

  @Test("names lose what could deceive whoever reads them on a terminal")
  func deceptiveNames() throws {
    let hostile = #"\u001b[31mnas\n\u202e\u0000\u2028\u009b"#
    let info = try NodeInfoRecord(parsing: Array(#"{"hostname":"\#(hostile)","os":"\u0007"}"#.utf8))
    #expect(info.hostname == "[31mnas")
    #expect(info.os == nil)
    let node = try NodeRecord(
      parsing: Array(#"{"meshIP":"10.0.0.2","addedAt":"2026-11-21T12:00:00Z","label":"\#(hostile)"}"#.utf8))
    #expect(node.label == "[31mnas")
    #expect(throws: MeshError.self) {
      try NetworkRecord(parsing: Array(#"{"name":"\n","meshCIDR":"10.0.0.0/16"}"#.utf8))
    }
  }

  @Test("one bad address does not spoil the good ones")
  func someAddresses() throws {
    let endpoint = try EndpointRecord(
      parsing: Array(
        #"""
        {"publicEndpoints":[{"address":"192.0.2.1","port":1},{"address":"x","port":2},{"address":"2001:db8::1","port":3,
        "source":"stun","priority":7},{"address":"192.0.2.1","port":0},5,null,{"address":"192.0.2.2","port":4,"source":"later"}],
        "localEndpoints":["192.0.2.9:5","[2001:db8::9]:6","2001:db8::9:6",7,null,"192.0.2.9:0"],"natType":"later","discoKey":"AA",
        "preferredDERP":70000,"standbyDERP":"1","relay":{"port":0},"updatedAt":"2026-11-21T12:00:00Z"}
        """#.utf8))
    #expect(endpoint.publicEndpoints.map(\.address.description) == ["192.0.2.1:1", "[2001:db8::1]:3", "192.0.2.2:4"])
    #expect(endpoint.publicEndpoints[1].source == .stun)
    #expect(endpoint.publicEndpoints[1].priority == 7)
    #expect(endpoint.localEndpoints.map(\.description) == ["192.0.2.9:5", "[2001:db8::9]:6"])
    #expect(endpoint.natType == .unknown)
    #expect(
      endpoint.discoKey == nil && endpoint.preferredDERP == nil && endpoint.standbyDERP == nil && endpoint.relay == nil)
    let node = try NodeRecord(
      parsing: Array(#"{"meshIP":"10.0.0.2","addedAt":"2026-11-21T12:00:00Z","allowedIPs":["10.9.0.0/16",3,"x"]}"#.utf8)
    )
    #expect(node.allowedIPs == [IPPrefix("10.9.0.0/16")].compactMap { $0 })
  }

  @Test("a disco key of small order is none")
  func smallDisco() throws {
    let key = Base64.encode([UInt8](repeating: 0, count: 32), .standard)
    let text = #"{"discoKey":"\#(key)","updatedAt":"2026-11-21T12:00:00Z"}"#
    #expect(try EndpointRecord(parsing: Array(text.utf8)).discoKey == nil)
  }

  @Test("a bounded endpoint fits into its record, and keeps the best addresses")
  func bounded() throws {
    let address = IPAddress(v6: UInt128.max)
    let many = EndpointRecord(
      publicEndpoints: (1...30).map { .init(SocketAddress(address, port: 60000 + $0), priority: 1, source: .natpmp) },
      localEndpoints: (1...30).map { SocketAddress(address, port: 50000 + $0) }, updatedAt: Self.time)
    let fitting = many.bounded()
    #expect(fitting.publicEndpoints == Array(many.publicEndpoints.prefix(8)))
    #expect(fitting.localEndpoints == Array(many.localEndpoints.prefix(fitting.localEndpoints.count)))
    #expect(!fitting.localEndpoints.isEmpty)
    #expect(try fitting.encoded().count <= EndpointRecord.maximumSize)
    #expect(throws: MeshError.self) { try many.encoded() }
    let few = EndpointRecord(localEndpoints: [SocketAddress(address, port: 1)], updatedAt: Self.time)
    #expect(few.bounded() == few)
  }

  @Test(
    "a head that is not one is refused",
    arguments: [
      #"{"epoch":0,"records":"1hLgM4Dex-Obn5cta1vEbYF7J6J5IFhCTWF3aT_aqD8"}"#,
      #"{"seq":0,"epoch":0,"records":"1hLgM4Dex-Obn5cta1vEbYF7J6J5IFhCTWF3aT_aqD8"}"#,
      #"{"seq":1.5,"epoch":0,"records":"1hLgM4Dex-Obn5cta1vEbYF7J6J5IFhCTWF3aT_aqD8"}"#,
      #"{"seq":1,"epoch":-1,"records":"1hLgM4Dex-Obn5cta1vEbYF7J6J5IFhCTWF3aT_aqD8"}"#,
      #"{"seq":1,"epoch":0,"records":"1hLgM4Dex-Obn5cta1vEbYF7J6J5IFhCTWF3aT_aqD8="}"#,
      #"{"seq":1,"epoch":0,"records":"1hLgM4Dex-Obn5cta1vEbYF7J6J5IFhCTWF3aT_aqA"}"#,
      #"{"seq":1,"epoch":0}"#,
    ])
  func badHead(text: String) {
    #expect(throws: MeshError.self) { try HeadRecord(parsing: Array(text.utf8)) }
  }

  @Test("random values of every type come back as they were written", arguments: 1...100 as ClosedRange<UInt64>)
  func roundTrips(seed: UInt64) throws {
    let random = RandomPayloads(seed: seed)
    func check<P: MeshPayload & Equatable>(_ payload: P) throws {
      #expect(try P(parsing: payload.encoded()) == payload, "seed \(seed)")
    }
    try check(random.network())
    try check(random.node())
    try check(random.member())
    try check(random.nodeInfo())
    try check(random.endpoint())
    try check(random.relay())
    try check(random.relayName())
    try check(random.head())
  }

  @Test("random JSON is read or refused, whatever it is", arguments: 1...100 as ClosedRange<UInt64>)
  func randomJSON(seed: UInt64) {
    let random = RandomPayloads(seed: seed)
    let types: [any MeshPayload.Type] = [
      NetworkRecord.self, NodeRecord.self, MemberRecord.self, NodeInfoRecord.self, EndpointRecord.self,
      RelayRecord.self, RelayNameRecord.self,
      HeadRecord.self, ACLPolicy.self, ContextKeyRecord.self,
    ]
    for type in types {
      for _ in 0..<20 {
        let json = random.json(resembling: type.schema.json)
        if let payload = try? type.init(parsing: json.encoded) {
          // What was read can be written, or breaks a limit of its schema: it never traps.
          _ = try? payload.encoded()
        }
        _ = try? type.schema.check(json)
      }
      _ = try? type.init(parsing: random.bytes())
    }
    _ = try? MeshDefinition(
      random.json(resembling: ["properties": ["structure": [:], "protocol": [:]]]), anchor: random.did())
  }

  static func type(at path: ProtocolPath) -> (any MeshPayload.Type)? {
    switch path {
    case MeshProtocol.network: NetworkRecord.self
    case MeshProtocol.head: HeadRecord.self
    case MeshProtocol.member: MemberRecord.self
    case MeshProtocol.node, MeshProtocol.memberNode: NodeRecord.self
    case MeshProtocol.nodeInfo, MeshProtocol.memberNodeInfo: NodeInfoRecord.self
    case MeshProtocol.endpoint, MeshProtocol.memberEndpoint: EndpointRecord.self
    case MeshProtocol.aclPolicy: ACLPolicy.self
    case MeshProtocol.relay: RelayRecord.self
    default: nil
    }
  }
}
