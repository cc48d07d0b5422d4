import Mesh
import Testing
import Wire

@testable import Agent

@Suite("where a relay is reached")
struct RelayPlaceTests {
  @Test("the first URL is the place, and the literals of both families on its port stand beside it")
  func literals() throws {
    let place = try #require(
      RelayPlace(urls: [
        "http://[2001:db8::1]:8787", "http://198.51.100.7:8787", "http://10.0.0.2:8787", "http://10.0.0.2:9000",
      ]))
    #expect(place.host == .address(IPAddress("2001:db8::1")!) && place.port == 8787)
    #expect(place.ipv4 == IPAddress("198.51.100.7") && place.ipv6 == IPAddress("2001:db8::1"))
    let mapped = try #require(RelayPlace(urls: ["http://198.51.100.7:9001", "http://[2001:db8::1]:8787"]))
    #expect(mapped.port == 9001 && mapped.ipv6 == nil, "what listens on another port is another place")
  }

  @Test("a name stands for itself, with the port of its scheme")
  func name() throws {
    let place = try #require(RelayPlace(urls: ["http://relay.example.org/"]))
    #expect(place.host == .name("relay.example.org") && place.port == 80)
    #expect(place.ipv4 == nil && place.ipv6 == nil)
  }

  @Test("a URL behind another server is passed over")
  func proxies() throws {
    #expect(RelayPlace(urls: ["https://dwn.example.org", "http://dwn.example.org/path"]) == nil)
    #expect(RelayPlace(urls: ["https://dwn.example.org", "http://192.0.2.1:8787"])?.ipv4 == IPAddress("192.0.2.1"))
    #expect(RelayPlace(urls: []) == nil)
  }

  @Test(
    "--relay-advertise takes a host with or without a port",
    arguments: [
      ("relay.example.org", "http://relay.example.org:8788"), ("relay.example.org:443", "http://relay.example.org:443"),
      ("192.0.2.1", "http://192.0.2.1:8788"), ("192.0.2.1:1", "http://192.0.2.1:1"),
      ("2001:db8::1", "http://[2001:db8::1]:8788"), ("[2001:db8::1]:443", "http://[2001:db8::1]:443"),
      ("https://a", nil), ("a:0", nil), ("a:70000", nil), ("a b", nil), ("", nil), ("a/b", nil),
    ] as [(String, String?)])
  func advertised(_ text: String, _ expected: String?) {
    #expect(RelayPlace.url(text, defaultPort: 8788) == expected)
  }

  @Test("settings come back as they were kept, and what was not said is not written")
  func settings() throws {
    #expect(RelaySettings().json == nil)
    let settings = RelaySettings(
      isOn: true, listen: [SocketAddress("[::]:443")!], advertise: ["relay.example.org:443"])
    #expect(RelaySettings(try #require(settings.json)) == settings)
    #expect(settings.updated(by: RelaySettings(isOn: false)).listen == settings.listen)
    #expect(settings.updated(by: RelaySettings(isOn: false)).isOn == false)
    #expect(settings.updated(by: RelaySettings(advertise: ["none"])).advertise == [])
    #expect(throws: Never.self) { try RelaySettings(advertise: ["none"]).check() }
    #expect(
      settings.arguments == ["--relay", "--relay-listen=[::]:443", "--relay-advertise=relay.example.org:443"])
  }
}
