import Cryptography
import DWN
import Identity
import Mesh
import TestSupport
import Testing
import Wire

@Suite("Relay records")
struct RelayRecordTests {
  static let skipped = Comment(rawValue: Fixtures.skipped)

  private func parse(_ members: String) throws -> RelayRecord {
    try RelayRecord(parsing: Array("{\(members)}".utf8))
  }

  @Test("the recorded relays give the recorded map", .enabled(if: RecordedNetwork.isAtHand, skipped))
  func map() throws {
    let network = try RecordedNetwork()
    let cipher = try network.cipher(of: "anchor")
    let relays = try ["relay of the anchor", "relay of node-a"].map { name in
      let record = try network.record(name)
      return try RelayRecord(parsing: cipher.open(record.write, data: record.data))
    }
    let regions = try #require(network.json["relayMap"]?.array?.first?["regions"]?.array)
    #expect(regions.count == relays.count)
    for (relay, region) in zip(relays, regions) {
      #expect(Int64(relay.id) == region["regionID"]?.integer)
      #expect(relay.region == region["label"]?.string)
      #expect(relay.host.text == region["hostName"]?.string)
      #expect(Int64(relay.port) == region["derpPort"]?.integer)
      #expect(Self.text(relay.plan.reach(.v4)) == region["ipv4"]?.string)
      #expect(Self.text(relay.plan.reach(.v6)) == region["ipv6"]?.string)
      #expect(relay.certSHA256.map { "sha256-raw:" + Hex.encode($0.array) } == region["certName"]?.string)
      #expect(relay.stunPorts.first.map(Int64.init) == region["stunPort"]?.integer)
    }
    #expect(relays[0].stunPorts == [8787, 8788])
    #expect(relays[0].nodeDID == nil)
    #expect(relays[1].nodeDID == (try network.identity("node-a")).did)
  }

  @Test(
    "recorded relays that break a rule are not used", .enabled(if: RecordedNetwork.isAtHand, skipped),
    arguments: ["relay by plain http", "relay with a short certificate hash"])
  func unused(name: String) throws {
    let network = try RecordedNetwork()
    let record = try network.record(name, in: "unused")
    let plaintext = try network.cipher(of: "anchor").open(record.write, data: record.data)
    #expect(throws: MeshError.self) { try RelayRecord(parsing: plaintext) }
  }

  @Test(
    "a relay with another's id is a good record: which of two is used is not its to say",
    .enabled(if: RecordedNetwork.isAtHand, skipped))
  func sameID() throws {
    let network = try RecordedNetwork()
    let record = try network.record("relay with an id that another has", in: "unused")
    let relay = try RelayRecord(parsing: network.cipher(of: "anchor").open(record.write, data: record.data))
    #expect(relay.id == 1)
  }

  @Test("a node whose data does not parse gives none", .enabled(if: RecordedNetwork.isAtHand, skipped))
  func unparsable() throws {
    let network = try RecordedNetwork()
    let record = try network.record("node whose data does not parse", in: "unused")
    let plaintext = try network.cipher(of: "anchor").open(record.write, data: record.data)
    #expect(throws: MeshError.self) { try NodeRecord(parsing: plaintext) }
  }

  @Test("hosts are names, IPv4 literals, and IPv6 literals in brackets")
  func hosts() throws {
    func url(_ text: String) throws -> RelayRecord { try parse(#""id":1,"url":"\#(text)","stunPort":0,"region":"r""#) }
    let name = try url("https://relay.example.net:443")
    #expect(name.host == .name("relay.example.net") && name.port == 443)
    #expect(name.plan.reach(.v4) == .dns && name.plan.reach(.v6) == .dns)
    let four = try url("https://192.0.2.1:8787")
    #expect(four.plan.reach(.v4) == .address(IPAddress(v4: 0xc000_0201)) && four.plan.reach(.v6) == .off)
    let six = try url("https://[2001:db8::1]:8787")
    #expect(six.plan.reach(.v4) == .off && six.url == "https://[2001:db8::1]:8787")
  }

  @Test("an address of the record goes before the host's")
  func literals() throws {
    let relay = try parse(#""id":1,"url":"https://192.0.2.1:1","ipv4":"192.0.2.9","ipv6":"2001:db8::9","stunPort":0"#)
    #expect(Self.text(relay.plan.reach(.v4)) == "192.0.2.9")
    #expect(Self.text(relay.plan.reach(.v6)) == "2001:db8::9")
    #expect(relay.region == "1")
  }

  @Test(
    "a URL of another form is refused",
    arguments: [
      "http://192.0.2.1:80", "https://192.0.2.1", "https://192.0.2.1:0", "https://192.0.2.1:65536",
      "https://192.0.2.1:1/",
      "https://192.0.2.1:1/derp", "https://user@192.0.2.1:1", "https://2001:db8::1:443", "https://[192.0.2.1]:1",
      "https://:1",
      "https://a b:1", "https://-a:1", "https://a..b:1", "https://1.2.3:1", "HTTPS://a.example:1", "a.example", "",
      "https://a.example:+1", "https://a.example:000001",
    ])
  func badURL(text: String) {
    #expect(throws: MeshError.self) { try parse(#""id":1,"url":"\#(text)","stunPort":0,"region":"r""#) }
  }

  @Test(
    "a relay without id, STUN port, or with a member that is not what it must be, is refused",
    arguments: [
      #""url":"https://a.b:1","stunPort":0"#, #""id":0,"url":"https://a.b:1","stunPort":0"#,
      #""id":65536,"url":"https://a.b:1","stunPort":0"#, #""id":1,"url":"https://a.b:1""#,
      #""id":1,"url":"https://a.b:1","stunPort":65536"#, #""id":1,"url":"https://a.b:1","stunPort":-1"#,
      #""id":1,"url":"https://a.b:1","stunPort":1,"stunPort2":0"#,
      #""id":1,"url":"https://a.b:1","stunPort":0,"stunPort2":5"#,
      #""id":1,"url":"https://a.b:1","stunPort":0,"ipv4":"2001:db8::1""#,
      #""id":1,"url":"https://a.b:1","stunPort":0,"ipv6":"none""#,
      #""id":1,"url":"https://a.b:1","stunPort":0,"certSHA256":"00""#,
      #""id":1,"url":"https://a.b:1","stunPort":0,"certSHA256":"zz31dd075d6d74ebbfda94137c5209f88f84eb670908932fadc8afb77be1023a""#,
      #""id":1,"url":"https://a.b:1","stunPort":0,"stunOnly":"yes""#,
      #""id":1,"url":"https://a.b:1","stunPort":0,"nodeDID":"x""#,
    ])
  func badMember(members: String) {
    #expect(throws: MeshError.self) { try parse(members) }
  }

  private static func text(_ reach: RelayPlan.Reach) -> String {
    switch reach {
    case .address(let address): address.description
    case .dns: "dns"
    case .off: "none"
    }
  }
}
