import Testing

@testable import DWN

/// The expected texts were compared with other implementations of the WHATWG URL standard.
@Suite("URIs of protocols and schemas")
struct URITests {
  @Test(
    "a URI has one spelling: without query, fragment and one slash at the end",
    arguments: [
      ("https://Enbox.ID/protocols/wireguard-mesh/", "https://enbox.id/protocols/wireguard-mesh"),
      ("HTTPS://enbox.id", "https://enbox.id"), ("https://enbox.id/", "https://enbox.id"),
      ("https://enbox.id/Path?q#f", "https://enbox.id/Path"), ("https://enbox.id?a/b", "https://enbox.id"),
      ("https://enbox.id/a#/b/", "https://enbox.id/a"), ("https://enbox.id/a//", "https://enbox.id/a/"),
      ("https://identity.foundation/dwn/permissions", "https://identity.foundation/dwn/permissions"),
    ])
  func spelling(text: String, normalized: String) { check(text, normalized) }

  @Test(
    "http comes in front of what has no scheme, or nothing but slashes after it",
    arguments: [
      ("example.com", "http://example.com"), ("example.com/a:b", "http://example.com/a:b"),
      ("example.com?a:b", "http://example.com"), ("1a:80", "http://1a"), ("[::1]:8080/x", "http://[::1]:8080/x"),
      ("u@example.com", "http://u@example.com"), ("https://", "http://https/"), ("https:///x", "http://https///x"),
      ("foo:/bar", "http://foo/bar"), ("foo:", "http://foo"), ("//x/y", "http://x/y"),
    ])
  func schemeless(text: String, normalized: String) { check(text, normalized) }

  @Test(
    "a host and a port alone are a scheme and an opaque path",
    arguments: [("localhost:8080", "localhost:8080"), ("Example.com:80/", "example.com:80")])
  func hostAndPort(text: String, normalized: String) { check(text, normalized) }

  @Test(
    "the scheme's own port is dropped, and zeros before a port",
    arguments: [
      ("http://example.com:80/x", "http://example.com/x"), ("https://x.test:443", "https://x.test"),
      ("wss://x:443/a", "wss://x/a"), ("ws://x:00080/a", "ws://x/a"), ("ftp://x:21", "ftp://x"),
      ("https://x:80", "https://x:80"), ("http://x:/p", "http://x/p"), ("http://x:0/p", "http://x:0/p"),
      ("http://x:000065535", "http://x:65535"), ("foo://x:80/p", "foo://x:80/p"),
    ])
  func port(text: String, normalized: String) { check(text, normalized) }

  @Test(
    "dot segments are resolved, also where the dots are percent-encoded",
    arguments: [
      ("http://example.com/a/../b", "http://example.com/b"), ("http://x/../../a/./b", "http://x/a/b"),
      ("http://x/a/%2E%2e/b", "http://x/b"), ("http://x/a/.%2e", "http://x"), ("http://x/a/b/..", "http://x/a"),
      ("http://x/a/.", "http://x/a"), ("http://x/a//../b", "http://x/a/b"), ("http://x/.../..a", "http://x/.../..a"),
      ("foo://x/a/../../b", "foo://x/b"), ("foo://x/..", "foo://x"), ("urn:a/../b", "urn:a/../b"),
    ])
  func dots(text: String, normalized: String) { check(text, normalized) }

  @Test(
    "a backslash is a slash under a special scheme only",
    arguments: [
      (#"https://x.test\p"#, "https://x.test/p"), (#"http:\\x\a\..\b"#, "http://x/b"),
      ("http:example.com", "http://example.com"),
      (#"https:\/@x"#, "https://x"), (#"foo://x/a\b"#, #"foo://x/a\b"#), (#"foo:\x"#, #"foo:\x"#),
    ])
  func backslash(text: String, normalized: String) { check(text, normalized) }

  @Test(
    "what may not stand in a path is percent-encoded, and what is encoded stays",
    arguments: [
      (#"http://x.test/"q""#, "http://x.test/%22q%22"), ("http://x/<a>^`{}", "http://x/%3Ca%3E%5E%60%7B%7D"),
      ("http://x/a|b~!$&'()*+,;=:@[]", "http://x/a|b~!$&'()*+,;=:@[]"), ("http://x/%7e%zz%", "http://x/%7e%zz%"),
      (#"urn:"a"^{b}"#, #"urn:"a"^{b}"#),
    ])
  func pathEncoding(text: String, normalized: String) { check(text, normalized) }

  @Test(
    "a user keeps its case, and an empty one is dropped",
    arguments: [
      ("http://User@host.com/x", "http://User@host.com/x"), ("http://u:@x/p", "http://u@x/p"),
      ("http://:p@x/p", "http://:p@x/p"), ("http://:@x/p", "http://x/p"), ("foo://a:b:c|@x", "foo://a:b%3Ac%7C@x"),
      ("http://a@b@x/p", "http://a%40b@x/p"), ("http://x/a@b", "http://x/a@b"),
    ])
  func userinfo(text: String, normalized: String) { check(text, normalized) }

  @Test(
    "a domain is in lower case and percent-decoded; another scheme's host stays as it is",
    arguments: [
      ("http://%45xample.com/x", "http://example.com/x"), ("http://a.%2Eb/x", "http://a..b/x"),
      ("http://XN--NXASMQ6B/x", "http://xn--nxasmq6b/x"),
      ("http://a_b!$&'()*+,;=`{}~/x", "http://a_b!$&'()*+,;=`{}~/x"),
      ("foo://Host/x", "foo://Host/x"), ("foo://H%4f/x", "foo://H%4f/x"), ("foo://1.2.3/x", "foo://1.2.3/x"),
    ])
  func domain(text: String, normalized: String) { check(text, normalized) }

  @Test(
    "a host that ends in a number is an IPv4 address",
    arguments: [
      ("http://0x7f.1/", "http://127.0.0.1"), ("http://0300.0250.1/x", "http://192.168.0.1/x"),
      ("http://4294967295/x", "http://255.255.255.255/x"), ("http://1.2.3.4./x", "http://1.2.3.4/x"),
      ("http://%30x7F.0X/x", "http://127.0.0.0/x"), ("http://1.2.3.a/x", "http://1.2.3.a/x"),
    ])
  func ipv4(text: String, normalized: String) { check(text, normalized) }

  @Test(
    "an IPv6 address is compressed at the first of its longest runs of zeros",
    arguments: [
      ("http://[2001:DB8:0:0:1:0:0:1]/x", "http://[2001:db8::1:0:0:1]/x"), ("http://[0:0::0]/x", "http://[::]/x"),
      ("http://[1:0:2:0:0:3:0:0]:80/x", "http://[1:0:2::3:0:0]/x"),
      ("foo://[::FFFF:1.2.3.4]", "foo://[::ffff:102:304]"),
      ("http://[1:2:3:4:5:6:7::]", "http://[1:2:3:4:5:6:7:0]"), ("http://[1:2::5:6:7:8]", "http://[1:2::5:6:7:8]"),
    ])
  func ipv6(text: String, normalized: String) { check(text, normalized) }

  @Test(
    "a file has no host but a drive or a foreign one",
    arguments: [
      ("file:a", "file:///a"), ("file://localhost/a", "file:///a"), ("file://C|/../a", "file:///C:/a"),
      ("file://Host/C|/..", "file://host/C:"), (#"file:\\h\a"#, "file://h/a"), ("file:a/../../b", "file:///b"),
    ])
  func file(text: String, normalized: String) { check(text, normalized) }

  @Test(
    "what cannot be a URL has no spelling",
    arguments: [
      "http://x.test:99999/p", "http://x:65536", "http://x:8x", "http://x:-1", "http://x:1:2", "http://?x",
      "http://u@/x", "http://@", "http://u:p@:80", "foo://:80", "foo://u@", "::",
      "http://x<y", "http://x^y", "http://a|b", "http://%zz", "http://%", "http://%00", "http://a%2fb", "http://a%20b",
      "foo://a^b", #"foo://a\b"#, "foo://a|b", "foo://a]b",
      "http://256.1.1.1", "http://1.2.3.4.5", "http://1.2.3.256", "http://4294967296", "http://1..2", "http://09",
      "http://a.0x", "http://0x100000000000000000000000000000001",
      "http://[]", "http://[", "http://[::1", "http://[::1]x", "http://[1.2.3.4]", "http://[1:2:3:4:5:6:7:8:9]",
      "http://[1::2::3]", "http://[::12345]", "http://[::1.2.3]", "http://[::01.2.3.4]", "http://[::1%25eth0]",
      "file://h:80/x", "file://%2f/x",
    ])
  func noURL(text: String) {
    #expect(URI.normalized(text) == nil)
    #expect(!URI.isNormalized(text))
  }

  @Test(
    "a URI is printable ASCII of at most 1024 characters",
    arguments: [
      "", " ", "a b.com", "http://x/\r\n", "http://x/\t", "http://x/\u{7f}", "http://x/e\u{301}", "http://x/\u{e9}",
      "é.com",
      String(repeating: "a", count: 1025),
    ])
  func implausible(text: String) {
    #expect(URI.normalized(text) == nil)
    #expect(!URI.isNormalized(text))
  }

  @Test("a domain that is not ASCII after percent-decoding has no spelling")
  func unicodeDomain() {
    #expect(URI.normalized("http://%C3%A9.com") == nil)
  }

  @Test("a path of the greatest length is normal, and encoding may make it longer")
  func long() {
    let plain = "http://x/" + String(repeating: "a", count: 1015)
    #expect(URI.isNormalized(plain))
    let quotes = "http://x/" + String(repeating: "\"", count: 1015)
    #expect(URI.normalized(quotes) == "http://x/" + String(repeating: "%22", count: 1015))
  }

  @Test("without a host, a path that begins with two slashes keeps a dot before them")
  func noHost() {
    #expect(ParsedURL(Array("foo:/.//p".utf8)[...]).map { $0.serialized } == Array("foo:/.//p".utf8))
    #expect(ParsedURL(Array("foo:/a/..//p".utf8)[...]).map { $0.serialized } == Array("foo:/.//p".utf8))
  }

  private func check(_ text: String, _ normalized: String) {
    #expect(URI.normalized(text) == normalized)
    #expect(URI.isNormalized(text) == (text == normalized))
  }
}
