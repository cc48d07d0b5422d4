import Cryptography
import TestSupport
import Testing
import Wire

@testable import WireGuard

@Suite("Cookies and authenticators") struct CookieTests {
  private let start = Instant(nanoseconds: 10_000_000_000)

  @Test(
    "the cookie reply and the second authenticator, byte for byte",
    .enabled(if: VectorFile.cookie.isThere, VectorFile.missing))
  func vectors() throws {
    for vector in try VectorFile.cookie.load().list("cases") {
      let responder = try vector.privateKey("responder_static_private").publicKey
      let source = try #require(SocketAddress(try vector.text("source")))
      let message = try vector.bytes("initiation_without_mac2")
      #expect(CookieLabels.replyKey(of: responder) == (try vector.bytes("cookie_encryption_key")))
      var checker = CookieChecker(responder)
      #expect(checker.hasValidMAC1(message) && !checker.hasValidMAC2(message, from: source, at: start))
      let random = ScriptedRandom(try vector.bytes("cookie_secret") + vector.bytes("reply_nonce"))
      let sender = try #require(HandshakeInitiation(message)).sender
      let reply = checker.reply(to: message, sender: sender, from: source, at: start, random)
      #expect(reply.bytes == (try vector.bytes("cookie_reply")))

      var generator = CookieGenerator(responder)
      expect(generator.authenticate(Array(message.prefix(116)), at: start) == message)
      let parsed = try #require(CookieReply(reply.bytes))
      expect(generator.accept(parsed, at: start))
      let second = generator.authenticate(Array(message.prefix(116)), at: start)
      #expect(second == (try vector.bytes("initiation_with_mac2")))
      #expect(checker.hasValidMAC2(second, from: source, at: start))
    }
  }

  private struct Ends {
    let message = [UInt8](repeating: 7, count: 116)
    let source = SocketAddress("192.0.2.9:1234")!
    let responder = X25519PrivateKey(random: SeededRandom(1)).publicKey
    let random = SeededRandom(2)
    var checker: CookieChecker
    var generator: CookieGenerator

    init() {
      checker = CookieChecker(responder)
      generator = CookieGenerator(responder)
    }

    /// A message without a cookie, its reply, and whether the reply was taken.
    mutating func exchange(at now: Instant) -> Bool {
      let first = generator.authenticate(message, at: now)
      return generator.accept(checker.reply(to: first, sender: 1, from: source, at: now, random), at: now)
    }
  }

  @Test("a cookie proves address and port, and no other")
  func binding() throws {
    var ends = Ends()
    expect(ends.exchange(at: start))
    let message = ends.generator.authenticate(ends.message, at: start)
    #expect(ends.checker.hasValidMAC2(message, from: ends.source, at: start))
    for other in ["192.0.2.9:1235", "192.0.2.8:1234", "[2001:db8::1]:1234"] {
      #expect(!ends.checker.hasValidMAC2(message, from: try #require(SocketAddress(other)), at: start))
    }
  }

  @Test("the checker's secret lasts 120 s")
  func secretRotation() {
    var ends = Ends()
    expect(ends.exchange(at: start))
    let message = ends.generator.authenticate(ends.message, at: start)
    let later = start + .seconds(120)
    #expect(ends.checker.hasValidMAC2(message, from: ends.source, at: later - .nanoseconds(1)))
    #expect(!ends.checker.hasValidMAC2(message, from: ends.source, at: later))
    expect(ends.exchange(at: later))
    #expect(!ends.checker.hasValidMAC2(message, from: ends.source, at: later), "the old secret is gone")
  }

  @Test("the sender uses a cookie for 120 s")
  func cookieLifetime() {
    var ends = Ends()
    expect(ends.exchange(at: start))
    let zeros = [UInt8](repeating: 0, count: 16)
    #expect(ends.generator.authenticate(ends.message, at: start + .seconds(119)).suffix(16) != zeros[...])
    #expect(ends.generator.authenticate(ends.message, at: start + .seconds(120)).suffix(16) == zeros[...])
  }

  @Test("a reply to an older message, from another responder, or a second time is ignored")
  func foreignReplies() {
    var ends = Ends()
    let old = ends.generator.authenticate([1] + ends.message.dropFirst(), at: start)
    let oldReply = ends.checker.reply(to: old, sender: 1, from: ends.source, at: start, ends.random)
    let message = ends.generator.authenticate(ends.message, at: start)
    expect(!ends.generator.accept(oldReply, at: start))
    var other = CookieChecker(X25519PrivateKey(random: SeededRandom(3)).publicKey)
    expect(
      !ends.generator.accept(other.reply(to: message, sender: 1, from: ends.source, at: start, ends.random), at: start))
    let reply = ends.checker.reply(to: message, sender: 1, from: ends.source, at: start, ends.random)
    expect(ends.generator.accept(reply, at: start))
    expect(!ends.generator.accept(reply, at: start))
  }

  @Test("the limiter gives each source 5 at once and 20 a second")
  func rateLimit() throws {
    var limiter = RateLimiter()
    let a = try #require(IPAddress("192.0.2.1"))
    let b = try #require(IPAddress("192.0.2.2"))
    #expect((0..<8).map { _ in limiter.allows(a, at: start) } == [true, true, true, true, true, false, false, false])
    expect(limiter.allows(b, at: start), "another source is not affected")
    var allowed = 0
    for millisecond in 1...1000 where limiter.allows(a, at: start + .milliseconds(millisecond)) { allowed += 1 }
    #expect(allowed == 20)
    let later = start + .seconds(100)
    #expect(
      (0..<8).filter { _ in limiter.allows(a, at: later) }.count == 5, "rest does not save up more than the burst")
  }

  @Test("one IPv6 host has one bucket")
  func rateLimitV6() throws {
    var limiter = RateLimiter()
    let addresses = (0..<50).compactMap { IPAddress("2001:db8:1:2::\($0)") }
    #expect(addresses.count == 50)
    expect(addresses.filter { limiter.allows($0, at: start) }.count == 5)
    let neighbour = try #require(IPAddress("2001:db8:1:3::1"))
    expect(limiter.allows(neighbour, at: start))
  }

  @Test("the limiter's memory is bounded, and given back")
  func rateLimitMemory() {
    var limiter = RateLimiter()
    for number in 0..<UInt32(RateLimiter.maximumSources + 100) {
      let isAllowed = limiter.allows(IPAddress(v4: number), at: start)
      #expect(isAllowed == (number < UInt32(RateLimiter.maximumSources)))
    }
    #expect(limiter.sourceCount == RateLimiter.maximumSources)
    expect(limiter.allows(IPAddress(v4: 0xffff_ffff), at: start + .seconds(2)))
    #expect(limiter.sourceCount == 1)
  }

  @Test("load is a rate or a backlog, and is remembered for a second")
  func load() {
    var meter = LoadMeter(messagesPerSecond: 10, backlogLimit: 128)
    for _ in 0..<10 { expect(!meter.isUnderLoad(backlog: 0, at: start)) }
    expect(meter.isUnderLoad(backlog: 0, at: start))
    expect(meter.isUnderLoad(backlog: 0, at: start + .milliseconds(999)))
    expect(!meter.isUnderLoad(backlog: 0, at: start + .seconds(3)))
    // A slow trickle never becomes load, however long it lasts.
    for second in 10..<200 { expect(!meter.isUnderLoad(backlog: 127, at: start + .seconds(second))) }
    expect(meter.isUnderLoad(backlog: 128, at: start + .seconds(300)))
    expect(meter.isUnderLoad(backlog: 0, at: start + .milliseconds(300_900)))
    expect(!meter.isUnderLoad(backlog: 0, at: start + .seconds(301)))
  }
}
