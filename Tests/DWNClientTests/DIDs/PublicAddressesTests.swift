import Testing
import Wire

@testable import DWNClient

@Suite("Addresses that a stranger's name may lead to")
struct PublicAddressesTests {
  @Test(
    "addresses of this machine, of its networks, of meshes and of no single host are refused",
    arguments: [
      // This machine, and "any"
      "127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3", "::1", "::",
      // Private, and unique-local: meshes are among them
      "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "fc00::1", "fd7a:115c:a1e0::1", "fd0d:e100:d3c5:1::1",
      // Shared by carriers, and meshes
      "100.64.0.1", "100.100.100.100", "100.127.255.255",
      // Link-local, and where clouds tell machines their secrets
      "169.254.169.254", "fe80::1", "febf::1", "fec0::1",
      // Multicast and broadcast
      "224.0.0.1", "239.255.255.255", "255.255.255.255", "ff02::1", "ff0e::1",
      // Documentation, benchmarks, assignments, reserved
      "192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "3fff::1", "198.18.0.1", "198.19.255.255", "192.0.0.8",
      "192.88.99.1", "240.0.0.1", "100::1", "5f00::1", "2001::1", "2001:10::1", "2001:1ff::1", "4000::1", "1000::1",
      // IPv4 in IPv6: mapped, compatible, translated, 6to4
      "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::127.0.0.1", "::ffff:0:127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::8.8.8.8",
      "64:ff9b:1::1", "2002:7f00:1::1", "2002:808:808::1",
    ])
  func refused(text: String) throws {
    #expect(!PublicAddresses.contains(try #require(IPAddress(text))))
  }

  @Test(
    "addresses beside those blocks are taken",
    arguments: [
      "1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0",
      "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0", "192.167.255.255", "192.169.0.0",
      "198.17.255.255", "198.20.0.0", "223.255.255.255", "2606:4700:4700::1111", "2001:200::1", "2001:db7::1",
      "2001:db9::1", "2003::1", "2a00::1", "3ffe::1",
    ])
  func taken(text: String) throws {
    #expect(PublicAddresses.contains(try #require(IPAddress(text))))
  }
}

@Suite("URLs that documents are fetched from")
struct FetchTargetTests {
  @Test("a URL of https has a host, a port and a path with its query")
  func parts() throws {
    let target = try FetchTarget("https://Example.COM:8443/a%20b/did.json?x=1", allowsPrivateHosts: false)
    #expect(target.isTLS && target.host == "example.com" && target.port == 8443)
    #expect(target.path == "/a%20b/did.json?x=1")
    #expect(target.authority == "example.com:8443")
    #expect(try FetchTarget("https://example.com", allowsPrivateHosts: false).text == "https://example.com/")
  }

  @Test(
    "what is no such URL is refused, whatever is allowed",
    arguments: [
      "", "example.com", "ftp://example.com/", "file:///etc/passwd", "https:///did.json", "https://a@example.com/",
      "https://a:b@example.com/", "https://example.com:0/", "https://example.com:70000/", "https://exa mple.com/",
      "https://example.com/#x", "https://ex_ample.com/", "https://[::1/", "https://[fe80::1%25eth0]/",
      "https://\u{e9}xample.com/", "http://example.com/", "unix:/run/docker.sock", "javascript:1",
      "https://example.com/" + String(repeating: "a", count: 5000),
    ], [false, true])
  func refused(text: String, allowsPrivateHosts: Bool) {
    #expect(throws: FetchFailure.self) { try FetchTarget(text, allowsPrivateHosts: allowsPrivateHosts) }
  }

  @Test(
    "without TLS only this machine and addresses are asked, and only where that is allowed",
    arguments: ["http://localhost:1/x", "http://a.localhost/", "http://127.0.0.1:8080/", "http://[::1]:8080/"])
  func plain(text: String) throws {
    #expect(throws: FetchFailure("only https is asked")) { try FetchTarget(text, allowsPrivateHosts: false) }
    #expect(try !FetchTarget(text, allowsPrivateHosts: true).isTLS)
  }

  @Test(
    "redirects are resolved against where they come from",
    arguments: [
      ("/x", "https://example.com/x"), ("y.json", "https://example.com/a/y.json"),
      ("//other.example/z#part", "https://other.example/z"),
      ("https://other.example:444/?q", "https://other.example:444/?q"),
      ("../../../up", "https://example.com/up"),
    ])
  func redirects(location: String, leadsTo: String) throws {
    let base = try FetchTarget("https://example.com/a/did.json", allowsPrivateHosts: false)
    #expect(try base.redirected(to: location, allowsPrivateHosts: false).text == leadsTo)
  }

  @Test("a redirect away from TLS is refused", arguments: ["http://example.com/", "http://localhost/", "ftp://x/"])
  func downgrade(location: String) throws {
    let base = try FetchTarget("https://example.com/a/did.json", allowsPrivateHosts: false)
    #expect(throws: FetchFailure.self) { try base.redirected(to: location, allowsPrivateHosts: false) }
  }
}
