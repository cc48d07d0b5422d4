import NIOCore
import NIOSSL
import Synchronization
import TestSupport
import Testing
import Wire

@testable import DWNClient

/// A resolver that says what a test has it say, and counts how often it was asked.
final class ScriptedLookup: Sendable {
  private let state: Mutex<(script: [String: [[String]]], asked: [String])>

  /// For each host the answers in order; the last one is given again.
  init(_ script: [String: [[String]]]) {
    state = Mutex((script, []))
  }

  var asked: [String] { state.withLock { $0.asked } }

  var lookup: HostLookup {
    HostLookup { host, _ in
      self.state.withLock { state in
        state.asked.append(host)
        guard let answers = state.script[host], let first = answers.first else { return [] }
        if answers.count > 1 { state.script[host]?.removeFirst() }
        return first.compactMap { IPAddress($0) }
      }
    }
  }
}

/// Against servers on loopback; where a test is about which address is asked, `127.0.0.1` stands for a public one and `127.0.0.2` for
/// a private one.
@Suite("Fetching documents from hosts that strangers name", .timeLimit(.minutes(10)))
struct DocumentFetcherTests {
  private static let body = Array(#"{"id":"x"}"#.utf8)

  private static var settings: DIDFetchSettings {
    var settings = DIDFetchSettings(allowsPrivateHosts: true)
    settings.timeout = .seconds(30)
    return settings
  }

  private func fetch(_ host: DocumentHost, _ path: String, _ settings: DIDFetchSettings = settings) async throws
    -> [UInt8]
  {
    try await DocumentFetcher(settings).document(at: "http://localhost:\(host.port)\(path)", .json, largest: 1000)
  }

  @Test("a document comes as it is, and its host was told its own name")
  func document() async throws {
    let host = try await DocumentHost.start()
    host["/did.json?x=1"] = .document(Self.body)
    #expect(try await fetch(host, "/did.json?x=1") == Self.body)
    #expect(host.hosts == ["localhost:\(host.port)"])
    try await host.stop()
  }

  @Test(
    "a type that says JSON is taken",
    arguments: [
      "application/json", "application/json; charset=utf-8", "Application/DID+JSON", "application/did+ld+json ;x=y",
      "application/ld+json",
    ])
  func types(type: String) async throws {
    let host = try await DocumentHost.start()
    host["/"] = .document(Self.body, type: type)
    #expect(try await fetch(host, "/") == Self.body)
    try await host.stop()
  }

  @Test(
    "any other type is refused, and so is none",
    arguments: ["text/html", "text/plain", "application/octet-stream", "application/xml+jsonx", "", nil] as [String?])
  func otherTypes(type: String?) async throws {
    let host = try await DocumentHost.start()
    host["/"] = .document(Self.body, type: type)
    await #expect(throws: FetchFailure("what it gave is of type \"\(type ?? "")\", and not JSON")) {
      try await fetch(host, "/")
    }
    try await host.stop()
  }

  @Test("an answer that is too large is given up, with a length or without an end")
  func large() async throws {
    let host = try await DocumentHost.start()
    host["/long"] = .document(Array(repeating: 0x20, count: 1001))
    host["/endless"] = .endless
    for path in ["/long", "/endless"] {
      await #expect(throws: FetchFailure("its answer is larger than 1000 bytes")) { try await fetch(host, path) }
    }
    try await host.stop()
  }

  @Test("a host that accepts and says nothing, or stops in the middle, is given up when the time is over")
  func slow() async throws {
    let host = try await DocumentHost.start()
    host["/silence"] = .silence
    host["/stalled"] = .stalled
    var settings = Self.settings
    settings.timeout = .milliseconds(300)
    for path in ["/silence", "/stalled"] {
      // A machine that is busy enough does not even come to connect in that time: then the words are others.
      await #expect(throws: FetchFailure.self) { try await fetch(host, path, settings) }
    }
    try await host.stop()
  }

  @Test("what is not HTTP, a cut answer, a compressed one and an error are failures with words")
  func broken() async throws {
    let host = try await DocumentHost.start()
    host["/nonsense"] = .bytes("SSH-2.0-nonsense\r\n\r\n")
    host["/cut"] = .bytes("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n{")
    host["/packed"] = .document(Self.body, headers: ["content-encoding": "gzip"])
    host["/closed"] = .hangUp
    for path in ["/nonsense", "/cut", "/packed", "/closed"] {
      await #expect(throws: FetchFailure.self, "\(path)") { try await fetch(host, path) }
    }
    await #expect(throws: FetchFailure("it has no such document (HTTP status 404)")) { try await fetch(host, "/none") }
    host["/503"] = .status(503)
    await #expect(throws: FetchFailure("it answered with HTTP status 503")) { try await fetch(host, "/503") }
    try await host.stop()
  }

  @Test("three redirects are followed, and not a fourth")
  func redirects() async throws {
    let host = try await DocumentHost.start()
    for (index, status) in [301, 302, 307, 308].enumerated() {
      host["/\(index)"] = .redirect("/\(index + 1)", status: status)
    }
    host["/4"] = .document(Self.body)
    #expect(try await fetch(host, "/1") == Self.body)
    await #expect(throws: FetchFailure("it redirects more than 3 times")) { try await fetch(host, "/0") }
    host["/loop"] = .redirect("/loop")
    await #expect(throws: FetchFailure("it redirects more than 3 times")) { try await fetch(host, "/loop") }
    #expect(host.paths.filter { $0 == "/loop" }.count == 4)
    try await host.stop()
  }

  @Test("nobody is asked on this machine, or where its name leads, unless that is allowed")
  func privateHosts() async throws {
    let host = try await DocumentHost.start()
    host["/"] = .document(Self.body)
    let script = ScriptedLookup([
      "loopback.example": [["127.0.0.1"]],
      "several.example": [["10.0.0.1", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"]],
    ])
    let fetcher = try DocumentFetcher(DIDFetchSettings(), lookup: script.lookup)
    for name in ["loopback.example", "several.example"] {
      await #expect(throws: FetchFailure("its host \(name) is at no public address")) {
        try await fetcher.document(at: "https://\(name):\(host.port)/", .json, largest: 1000)
      }
    }
    // Spellings of an address that only a resolver understands end at the same check.
    let real = try DocumentFetcher(DIDFetchSettings())
    for name in ["localhost", "127.0.0.1", "127.1", "2130706433", "0x7f000001", "[::1]", "[::ffff:127.0.0.1]"] {
      await #expect(throws: FetchFailure.self, "\(name)") {
        try await real.document(at: "https://\(name):\(host.port)/", .json, largest: 1000)
      }
    }
    #expect(host.connections == 0)
    try await host.stop()
  }

  private static let stranger: @Sendable (IPAddress) -> Bool = { $0 == IPAddress("127.0.0.1") }

  @Test("a name is looked up once, and the address that was checked is the one that is asked")
  func rebinding() async throws {
    let open = try await DocumentHost.start()
    let inner = try await DocumentHost.start("127.0.0.2", port: open.port)
    for host in [open, inner] { host["/"] = .document(Self.body) }
    let script = ScriptedLookup([
      "a.localhost": [["127.0.0.1"], ["127.0.0.2"]], "b.localhost": [["127.0.0.2", "127.0.0.1"]],
    ])
    let fetcher = try DocumentFetcher(Self.settings, lookup: script.lookup, admits: Self.stranger)
    #expect(try await fetcher.document(at: "http://a.localhost:\(open.port)/", .json, largest: 1000) == Self.body)
    #expect(script.asked == ["a.localhost"])
    await #expect(throws: FetchFailure("its host a.localhost is at no public address")) {
      try await fetcher.document(at: "http://a.localhost:\(open.port)/", .json, largest: 1000)
    }
    // Of several addresses only those that pass are tried.
    #expect(try await fetcher.document(at: "http://b.localhost:\(open.port)/", .json, largest: 1000) == Self.body)
    #expect(open.connections == 2)
    #expect(inner.connections == 0)
    try await open.stop()
    try await inner.stop()
  }

  @Test(
    "a redirect is checked like the first host: by name, by address, and by a name that leads elsewhere the second time"
  )
  func redirectToPrivate() async throws {
    let open = try await DocumentHost.start()
    let inner = try await DocumentHost.start("127.0.0.2")
    inner["/secret"] = .document(Self.body)
    open["/name"] = .redirect("http://inner.localhost:\(inner.port)/secret")
    open["/address"] = .redirect("http://127.0.0.2:\(inner.port)/secret")
    open["/again"] = .redirect("http://turns.localhost:\(inner.port)/secret")
    open["/downgrade"] = .redirect("http://public.example/")
    let script = ScriptedLookup([
      "open.localhost": [["127.0.0.1"]], "inner.localhost": [["127.0.0.2"]], "127.0.0.2": [["127.0.0.2"]],
      "turns.localhost": [["127.0.0.1"], ["127.0.0.2"]],
    ])
    let fetcher = try DocumentFetcher(Self.settings, lookup: script.lookup, admits: Self.stranger)
    for (host, path) in [("open", "/name"), ("open", "/address"), ("turns", "/again"), ("open", "/downgrade")] {
      await #expect(throws: FetchFailure.self, "\(path)") {
        try await fetcher.document(at: "http://\(host).localhost:\(open.port)\(path)", .json, largest: 1000)
      }
    }
    #expect(open.connections == 4)
    #expect(inner.connections == 0)
    try await open.stop()
    try await inner.stop()
  }

  @Test("an address that cannot be connected with gives way to the next one")
  func nextAddress() async throws {
    let host = try await DocumentHost.start()
    host["/"] = .document(Self.body)
    let script = ScriptedLookup(["a.localhost": [["127.0.0.3", "127.0.0.1"]]])
    let fetcher = try DocumentFetcher(Self.settings, lookup: script.lookup)
    #expect(try await fetcher.document(at: "http://a.localhost:\(host.port)/", .json, largest: 1000) == Self.body)
    let none = try DocumentFetcher(Self.settings, lookup: ScriptedLookup([:]).lookup)
    await #expect(throws: FetchFailure.self) {
      try await none.document(at: "http://a.localhost:\(host.port)/", .json, largest: 1000)
    }
    try await host.stop()
  }

  @Test("TLS is spoken with the name of the host, and a certificate for another one is not believed")
  func tls() async throws {
    let certificate = try await SelfSignedCertificate("did.example")
    let chain = try NIOSSLCertificate.fromPEMFile(certificate.certificatePath)
    let context = try NIOSSLContext(certificate)
    let host = try await DocumentHost.start(tls: context)
    host["/"] = .document(Self.body)
    let script = ScriptedLookup(["did.example": [["127.0.0.1"]], "other.example": [["127.0.0.1"]]])
    let fetcher = try DocumentFetcher(Self.settings, lookup: script.lookup, trusting: .certificates(chain))
    #expect(try await fetcher.document(at: "https://did.example:\(host.port)/", .json, largest: 1000) == Self.body)
    #expect(host.hosts == ["did.example:\(host.port)"])
    let distrust = FetchFailure("its TLS cannot be trusted")
    await #expect(throws: distrust) {
      try await fetcher.document(at: "https://other.example:\(host.port)/", .json, largest: 1000)
    }
    let strict = try DocumentFetcher(Self.settings, lookup: script.lookup)
    await #expect(throws: distrust) {
      try await strict.document(at: "https://did.example:\(host.port)/", .json, largest: 1000)
    }
    #expect(host.paths == ["/"])
    try await host.stop()
  }

  @Test("a certificate for the address that a name leads to is none for the name")
  func addressCertificate() async throws {
    let certificate = try await SelfSignedCertificate("127.0.0.1")
    let chain = try NIOSSLCertificate.fromPEMFile(certificate.certificatePath)
    let host = try await DocumentHost.start(tls: try NIOSSLContext(certificate))
    host["/"] = .document(Self.body)
    let script = ScriptedLookup(["did.example": [["127.0.0.1"]], "127.0.0.1": [["127.0.0.1"]]])
    let fetcher = try DocumentFetcher(Self.settings, lookup: script.lookup, trusting: .certificates(chain))
    await #expect(throws: FetchFailure("its TLS cannot be trusted")) {
      try await fetcher.document(at: "https://did.example:\(host.port)/", .json, largest: 1000)
    }
    #expect(
      try await fetcher.document(at: "https://127.0.0.1:\(host.port)/", .json, largest: 1000) == Self.body)
    try await host.stop()
  }

  @Test(
    "a certificate is for the names in it, with a wildcard for one label",
    arguments: [
      ("a.example", "a.example", true), ("a.example", "A.Example.", true), ("a.example", "b.example", false),
      ("*.example", "a.example", true), ("*.example", "a.b.example", false), ("*.example", "example", false),
    ])
  func names(certified: String, host: String, isFor: Bool) async throws {
    let certificate = try await SelfSignedCertificate(certified)
    let chain = try NIOSSLCertificate.fromPEMFile(certificate.certificatePath)
    #expect(chain.first?.names(host) == isFor)
  }
}

extension NIOSSLContext {
  /// A server's.
  convenience init(_ certificate: SelfSignedCertificate) throws {
    try self.init(
      configuration: .makeServerConfiguration(
        certificateChain: NIOSSLCertificate.fromPEMFile(certificate.certificatePath).map { .certificate($0) },
        privateKey: .privateKey(NIOSSLPrivateKey(file: certificate.keyPath, format: .pem))))
  }
}
