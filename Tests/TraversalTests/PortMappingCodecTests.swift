import TestSupport
import Testing
import Wire

@testable import Traversal

@Suite("What is said to routers, and understood of them")
struct PortMappingCodecTests {
  private static let path = "engine/portmap.json"
  private static let upnp = "engine/upnp.json"

  private static func packets(_ name: String) throws -> [[UInt8]] {
    let entries = try #require(try Fixtures.json(path)[name]?.array)
    return try entries.map { try #require($0["packet"]?.string.flatMap { Hex.decode($0) }) }
  }

  private static let port = PortMapping.Port(.udp, 41641)
  private static let host = IPAddress("192.168.1.10")!

  @Test("NAT-PMP", .enabled(if: Fixtures.have(path), "\(Fixtures.skipped)"))
  func natPMP() throws {
    let packets = try Self.packets("nat_pmp")
    #expect(NATPMP.addressRequest == packets[0])
    #expect(NATPMP.Response(packets[1]) == .address(IPAddress("203.0.113.5")!, epoch: 1000))
    #expect(NATPMP.mapRequest(Self.port, wanting: 41641, lifetime: 7200) == packets[2])
    #expect(NATPMP.Response(packets[3]) == .mapped(Self.port, external: 42000, lifetime: 7200, epoch: 1001))
    #expect(NATPMP.mapRequest(Self.port, wanting: 41641, lifetime: 0) == packets[4])
    #expect(NATPMP.Response(packets[5]) == .refused(opcode: 1, result: 2))
    #expect(NATPMP.mapRequest(.init(.tcp, 80), wanting: 0, lifetime: 1)[1] == 2)
  }

  @Test("PCP", .enabled(if: Fixtures.have(path), "\(Fixtures.skipped)"))
  func pcp() throws {
    let packets = try Self.packets("pcp")
    #expect(PCP.announce(from: Self.host) == packets[0])
    #expect(PCP.Response(packets[1]) == .announced(epoch: 500))
    let nonce = (0..<12).map { UInt8($0) }
    #expect(PCP.mapRequest(Self.port, wanting: 0, lifetime: 7200, nonce: nonce, from: Self.host) == packets[2])
    #expect(
      PCP.Response(packets[3])
        == .mapped(
          .init(.udp, 1234), nonce: Hex.decode("81700918f1d0fb2d9d4c0abc")!,
          external: SocketAddress("135.180.175.246:1234")!, lifetime: 7200, epoch: 0x29bed))
  }

  @Test("cut, altered and random answers are refused or read, and never trap")
  func mutation() {
    let random = SeededRandom(91)
    for _ in 0..<3000 {
      var bytes = random.bytes(Int(random.uniform(below: 70)))
      if random.uint32() % 2 == 0, bytes.count > 2 {
        bytes.replaceSubrange(0..<2, with: [UInt8(random.uint32() % 3), 0x81])
      }
      _ = NATPMP.Response(bytes)
      _ = PCP.Response(bytes)
      _ = SSDP.Answer(Array("HTTP/1.1 200 OK\r\n".utf8) + bytes)
    }
    #expect(NATPMP.Response([0, 0x81, 0, 0, 0, 0]) == nil)
    #expect(PCP.Response([2, 0x81] + [UInt8](repeating: 0, count: 40)) == nil)
  }

  @Test("the search for routers, and what they answer", .enabled(if: Fixtures.have(upnp), "\(Fixtures.skipped)"))
  func discovery() throws {
    let hex = try #require(try Fixtures.json(Self.path)["ssdp_search_hex"]?.string)
    #expect(SSDP.search("ssdp:all") == Hex.decode(hex))
    let file = try Fixtures.json(Self.upnp)
    for vector in try #require(file["discovery"]?.array) {
      let text = try #require(vector["text"]?.string)
      let answer = try #require(SSDP.Answer(Array(text.utf8)))
      #expect(answer == (try Self.answer(vector)), "\(vector["name"]?.string ?? "")")
    }
    for vector in try #require(file["ordering"]?.array) {
      let sorted = SSDP.sorted(try #require(vector["in"]?.array).map(Self.answer))
      #expect(sorted == (try #require(vector["out"]?.array).map(Self.answer)), "\(vector["name"]?.string ?? "")")
    }
    #expect(
      SSDP.Answer(Array("HTTP/1.1 200 OK\r\nST: upnp:rootdevice\r\nLOCATION: http://192.0.2.1/\r\n\r\n".utf8)) == nil)
    #expect(
      SSDP.Answer(Array("NOTIFY * HTTP/1.1\r\nST: x:InternetGatewayDevice:1\r\nLOCATION: http://a/\r\n\r\n".utf8))
        == nil)
  }

  private static func answer(_ json: JSONValue) throws -> SSDP.Answer {
    SSDP.Answer(
      location: try #require(json["location"]?.string), server: try #require(json["server"]?.string),
      usn: try #require(json["usn"]?.string))
  }

  @Test(
    "the descriptions of real routers give the service to use",
    .enabled(if: Fixtures.have(upnp), "\(Fixtures.skipped)"))
  func devices() throws {
    for vector in try #require(try Fixtures.json(Self.upnp)["devices"]?.array) {
      let services = GatewayDevice.services(Array(try #require(vector["xml"]?.string).utf8))
      let name = vector["name"]?.string ?? ""
      guard let expected = vector["service"]?.string else {
        #expect(services.isEmpty, "\(name)")
        continue
      }
      let service = try #require(services.first, "\(name)")
      let short = service.type.split(separator: ":").suffix(2).joined(separator: ":")
      #expect((service.type.contains("dslforum") ? "legacy " : "") + short == expected, "\(name)")
      #expect(service.path.hasPrefix("/"), "\(name)")
    }
  }

  @Test("what a router answers to calls", .enabled(if: Fixtures.have(upnp), "\(Fixtures.skipped)"))
  func soap() throws {
    let file = try #require(try Fixtures.json(Self.upnp)["soap"])
    func answer(_ name: String, to action: String) throws -> GatewayControl.Answer {
      GatewayControl.answer(Array(try #require(file[name]?.string).utf8), to: action)
    }
    #expect(try answer("AddPortMappingPermanentLease", to: "AddPortMapping") == .refused(725))
    #expect(try answer("AddPortMappingPermanentLease_InvalidArgs", to: "AddPortMapping") == .refused(402))
    for kind in ["", "Legacy"] {
      #expect(try answer("\(kind)AddPortMappingResponse", to: "AddPortMapping") == .done([:]))
      #expect(
        try answer("\(kind)GetExternalIPAddressResponse", to: "GetExternalIPAddress")
          == .done(["NewExternalIPAddress": "123.123.123.123"]))
      guard case .done(let status) = try answer("\(kind)GetStatusInfoResponse", to: "GetStatusInfo") else {
        Issue.record("no status")
        return
      }
      #expect(status["NewConnectionStatus"] == "Connected")
    }
    #expect(try answer("AddPortMappingResponse", to: "DeletePortMapping") == .nonsense)
  }

  @Test(
    "URLs are read for their port and path, whatever host they name",
    arguments: [
      ("http://192.168.1.1:5000/root.xml", 5000, "/root.xml"), ("http://evil.example/a/b?c=1", 80, "/a/b?c=1"),
      ("HTTP://[fe80::1]:1900", 1900, "/"), ("http://router", 80, "/"),
    ])
  func urls(text: String, port: UInt16, path: String) throws {
    let found = try #require(GatewayDevice.split(text))
    #expect(found.port == port && found.path == path)
  }

  @Test(
    "what is no such URL is none",
    arguments: [
      "", "https://a/", "ftp://a/", "http://", "http:///x", "http://a:0/", "http://a:99999/", "http://a b/", "/x",
    ])
  func otherURLs(text: String) {
    #expect(GatewayDevice.split(text) == nil)
  }

  @Test("a control URL may be absolute, a path, or relative to the base")
  func controlURLs() {
    #expect(GatewayDevice.path("http://192.168.1.1:80/ctl") == "/ctl")
    #expect(GatewayDevice.path("/ctl?x") == "/ctl?x")
    #expect(GatewayDevice.path("ctl", base: "http://192.168.1.1:80/a/b.xml") == "/a/ctl")
    #expect(GatewayDevice.path("ctl") == "/ctl")
    #expect(GatewayDevice.path("a b") == nil)
    #expect(GatewayDevice.path("/x\r\nHost: evil") == nil)
  }
}

@Suite("XML of routers")
struct XMLNodeTests {
  private func read(_ text: String) throws -> XMLNode { try XMLNode(parsing: Array(text.utf8)) }

  @Test("elements, text, entities, CDATA, comments and prefixes")
  func elements() throws {
    let node = try read(
      """
      \u{feff}<?xml version="1.0"?>
      <!-- a > b --><s:a x="1>2" y='/'> <b/> <c z="">x &lt;&amp;&quot; <!-- - -->y</c> <s:d><![CDATA[<&>]]></s:d>\n t </s:a>
      """)
    #expect(node.name == "a" && node.text == "t")
    #expect(node.children.map(\.name) == ["b", "c", "d"])
    #expect(node["c"]?.text == "x <&\" y")
    #expect(node["d"]?.text == "<&>")
    #expect(node.descendant("d") != nil && node["x"] == nil)
  }

  @Test(
    "what is not well-formed, or could be turned against a reader, is refused",
    arguments: [
      "", "x", "<a>", "<a></b>", "<a", "<a><b></a></b>", "<a x=\"></a>", "<a>&unknown;</a>", "<a>&lt</a>",
      "<a>&#65;</a>",
      "<!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>", "<a><!ENTITY x></a>", "<a/ >", "<1", "<a><![CDATA[</a>",
      "<a><!--</a>",
    ])
  func refused(text: String) {
    #expect(throws: XMLNode.Invalid.self) { try read(text) }
  }

  @Test("depth, number and size are bounded")
  func bounds() throws {
    func nested(_ count: Int) -> String {
      String(repeating: "<a>", count: count) + String(repeating: "</a>", count: count)
    }
    _ = try read(nested(32))
    #expect(throws: XMLNode.Invalid.self) { try read(nested(33)) }
    _ = try read("<a>" + String(repeating: "<b/>", count: 4095) + "</a>")
    #expect(throws: XMLNode.Invalid.self) { try read("<a>" + String(repeating: "<b/>", count: 4096) + "</a>") }
    #expect(throws: XMLNode.Invalid.self) { try read("<a>" + String(repeating: " ", count: 256 << 10) + "</a>") }
  }

  @Test("mutated texts are read or refused, and never trap")
  func mutation() {
    let random = SeededRandom(92)
    let good = Array("<?xml?><a:r x='y'><b>t&amp;t</b><!--c--><d><![CDATA[z]]></d><e/></a:r>".utf8)
    let alphabet = Array("<>/!-[]&;?'\" ab\u{0}".utf8)
    for _ in 0..<5000 {
      var bytes = good
      for _ in 0...random.uniform(below: 4) {
        bytes[Int(random.uniform(below: UInt64(bytes.count)))] =
          alphabet[Int(random.uniform(below: UInt64(alphabet.count)))]
      }
      bytes.removeLast(Int(random.uniform(below: 6)))
      _ = try? XMLNode(parsing: bytes)
    }
  }
}
