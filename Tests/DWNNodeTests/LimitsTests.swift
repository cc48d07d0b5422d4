import DWN
import Identity
import Logging
import NIOCore
import Testing
import Wire

@testable import DWNNode

/// Rates, and whom they hold for.
struct LimitsTests {
  private let start = Instant(nanoseconds: 1_000_000_000_000)
  private let limit = RateLimit(perSecond: 2, burst: 3)

  @Test("a bucket gives its burst, then what its rate brings, and says how long to wait")
  func bucket() {
    var bucket = TokenBucket(full: limit, now: start)
    let first = (0..<4).map { _ in bucket.take(limit, now: start) }
    #expect(first == [nil, nil, nil, .milliseconds(500)])
    let later = (0..<2).map { _ in bucket.take(limit, now: start + .milliseconds(500)) }
    #expect(later == [nil, .milliseconds(500)])
    let rested = (0..<4).map { _ in bucket.take(limit, now: start + .seconds(100)) == nil }
    #expect(rested == [true, true, true, false])
    #expect(bucket.take(limit, now: start) != nil, "a clock that goes back brings nothing")
  }

  @Test("a flood of keys takes no more memory than the bound, and full buckets make room")
  func manyKeys() {
    var buckets = TokenBuckets<Int>(limit: limit, maximumKeys: 10)
    let granted = (0..<1000).filter { buckets.take($0, now: start) == nil }
    #expect(granted == Array(0..<13))
    #expect(buckets.count == 10)
    #expect(buckets.take(5000, now: start + .seconds(10)) == nil)
    #expect(buckets.count == 1)
  }

  @Test("what one address sends to a tenant leaves to others their share")
  func shares() {
    let limits = RateLimits(
      RateConfiguration(
        perAddress: nil, perTenant: RateLimit(perSecond: 1, burst: 5), share: RateLimit(perSecond: 1, burst: 2)))
    let tenant = DID("did:example:alice")!
    func granted(_ ip: String) -> Int {
      (0..<20).filter { _ in limits.wait(for: tenant, from: Caller(IPAddress(ip)), now: start) == nil }.count
    }
    #expect(granted("192.0.2.1") == 7)
    #expect(granted("192.0.2.2") == 2)
    #expect(granted("2001:db8::1") == 2)
    #expect(granted("2001:db8::2") == 0, "the same /64")
    #expect(granted("127.0.0.1") == 20)
  }

  @Test("a proxy's word counts only where the proxy is trusted, and only its last one")
  func proxies() throws {
    let remote = try NIOCore.SocketAddress(ipAddress: "10.0.0.1", port: 1)
    let proxies = [IPPrefix("10.0.0.0/8")!]
    func address(_ header: [String], _ proxies: [IPPrefix]) -> String {
      Caller(remote: remote, forwardedFor: header, trusting: proxies).description
    }
    #expect(address(["192.0.2.9"], []) == "10.0.0.1")
    #expect(address(["192.0.2.9"], proxies) == "192.0.2.9")
    #expect(address(["198.51.100.1, 192.0.2.9"], proxies) == "192.0.2.9")
    #expect(address(["192.0.2.9, 10.0.0.7"], proxies) == "192.0.2.9")
    #expect(address(["[2001:db8::1]"], proxies) == "2001:db8::1")
    #expect(address(["192.0.2.9:1234"], proxies) == "192.0.2.9")
    #expect(address(["[2001:db8::1]:1234"], proxies) == "2001:db8::1")
    #expect(address(["2001:db8::1"], proxies) == "2001:db8::1")
    #expect(address(["nonsense"], proxies) == "10.0.0.1")
    #expect(address([], proxies) == "10.0.0.1")
  }

  @Test("who comes through a proxy on this machine is no program on it, whatever the proxy says of whom it is")
  func localProxy() throws {
    let remote = try NIOCore.SocketAddress(ipAddress: "127.0.0.1", port: 1)
    let loopback = [IPPrefix("127.0.0.0/8")!]
    func caller(_ header: [String], isForwarded: Bool = false, _ proxies: [IPPrefix]) -> Caller {
      Caller(remote: remote, forwardedFor: header, isForwarded: isForwarded, trusting: proxies)
    }
    #expect(caller([], []).network == nil && caller([], loopback).network == nil)
    let nobody = try #require(caller(["192.0.2.9"], []).network)
    #expect(caller(["198.51.100.1"], []).network == nobody && caller([], isForwarded: true, []).network == nobody)
    #expect(caller(["unknown"], loopback).network == nobody && caller(["127.0.0.1"], loopback).network == nobody)
    #expect(caller([], isForwarded: true, loopback).network == nobody && caller(["1.2.3"], []).site != nil)
    #expect(caller(["192.0.2.9"], loopback).network == Caller(IPAddress("192.0.2.9")).network)
  }

  @Test("a proxy on this machine that is not trusted has the rate of one machine, sees no metrics, and is told of once")
  func unnamedProxy() async throws {
    let lines = LoggedLines()
    let running = try await RunningServer.start(ScriptedEndpoint(), log: lines.log) {
      $0.metrics = PrometheusRegistry()
      $0.rates = RateConfiguration(perAddress: RateLimit(perSecond: 0.001, burst: 3))
    }
    func get(_ path: String, _ header: String = "") async throws -> String {
      let answer = try await running.exchange(
        "GET \(path) HTTP/1.1\r\nhost: x\r\n\(header)connection: close\r\n\r\n")
      return String(answer.prefix(12))
    }
    #expect(try await get("/metrics") == "HTTP/1.1 200")
    #expect(try await get("/metrics", "X-Forwarded-For: 192.0.2.1\r\n") == "HTTP/1.1 404")
    #expect(try await get("/metrics", "Forwarded: for=192.0.2.1\r\n") == "HTTP/1.1 404")
    #expect(try await get("/health", "X-Forwarded-For: 192.0.2.2\r\n") == "HTTP/1.1 200")
    #expect(try await get("/health", "X-Forwarded-For: 192.0.2.3\r\n") == "HTTP/1.1 429")
    #expect(try await get("/health") == "HTTP/1.1 200")
    #expect(lines.take().count { $0.text.contains("a proxy on this machine") } == 1)
    await running.server.shutdown()
  }

  @Test("an address beyond its rate gets 429 with the time to wait, a tenant's excess the JSON-RPC form")
  func tooManyRequests() async throws {
    let once = RateLimit(perSecond: 0.01, burst: 1)
    let address = try await RunningServer.start(ScriptedEndpoint()) {
      $0.rates = RateConfiguration(perAddress: once, exemptsLoopback: false)
    }
    let get = "GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    #expect(try await address.exchange(get).hasPrefix("HTTP/1.1 200 "))
    let refused = try await address.exchange(get)
    #expect(refused.hasPrefix("HTTP/1.1 429 "))
    #expect(refused.contains("retry-after: ") && refused.contains(#"{"error":"Rate limit exceeded"}"#))
    await address.server.shutdown()

    let tenant = try await RunningServer.start(ScriptedEndpoint()) {
      $0.rates = RateConfiguration(perAddress: nil, perTenant: once, share: once, exemptsLoopback: false)
    }
    let call = #"{"jsonrpc":"2.0","id":"1","method":"dwn.processMessage","params":{"target":"did:a:b","message":{}}}"#
    let post = "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ndwn-request: \(call)\r\n\r\n"
    let answers = [try await tenant.exchange(post), try await tenant.exchange(post), try await tenant.exchange(post)]
    #expect(answers.map { $0.contains("HTTP/1.1 200 ") } == [true, true, false])
    #expect(answers[2].hasPrefix("HTTP/1.1 429 ") && answers[2].contains("retry-after: "))
    #expect(answers[2].contains("-50429") && answers[2].contains("retryAfterSec"))
    await tenant.server.shutdown()
  }

  @Test("what others send to a tenant takes nothing from the tenant itself: its signature shows whose a message is")
  func tenantsOwn() async throws {
    let tenancy = try TestTenancy()
    #expect(try await tenancy.install(#"{"box": {}}"#).status.code == 202)
    let once = RateLimit(perSecond: 0.001, burst: 1)
    let service = MessageService(
      endpoint: tenancy.node, rates: RateLimits(RateConfiguration(perAddress: nil, perTenant: once, share: once)),
      metrics: ServerMetrics(factory: PrometheusRegistry()), log: LoggedLines().log, accessLevel: .debug)
    func ask(_ message: JSONValue, from address: String) async -> String {
      let addressed = AddressedMessage(tenant: tenancy.alice.did, message: message)
      do {
        let reply = try await service.process(addressed, data: nil, from: Caller(IPAddress(address)), over: .http)
        return "\(reply.reply.status.code)"
      } catch {
        return "refused"
      }
    }
    let garbage: JSONValue = ["descriptor": ["interface": "Zap", "method": "x"]]
    for _ in 0..<3 { _ = await ask(garbage, from: "192.0.2.1") }
    let filter = RecordsFilter(protocolURI: TestTenancy.protocolURI)
    func query(_ person: Person) -> JSONValue {
      person.signer.recordsQuery(filter, at: tenancy.tick()).message.value
    }
    #expect(await ask(garbage, from: "192.0.2.1") == "refused")
    #expect(await ask(query(tenancy.bob), from: "192.0.2.1") == "refused")
    for _ in 0..<3 { #expect(await ask(query(tenancy.alice), from: "192.0.2.1") == "200") }
    // Who only says that it is the tenant is a stranger, and so is who has, or had, a grant of it.
    func signature(_ message: JSONValue) throws -> String {
      try #require(message["authorization"]?["signature"]?["signatures"]?.array?[0]["signature"]?.string)
    }
    let genuine = query(tenancy.alice)
    let forged = genuine.text.replacing(try signature(genuine), with: try signature(query(tenancy.alice)))
    #expect(forged != genuine.text)
    #expect(await ask(try JSONValue(parsing: forged), from: "192.0.2.1") == "refused")
    let grant = tenancy.makeGrant(.records("Query"), to: tenancy.bob, delegated: true)
    let delegated = try tenancy.delegating(
      tenancy.alice.signer.recordsQuery(filter, at: tenancy.tick()), to: tenancy.bob, by: grant)
    #expect(await ask(delegated, from: "192.0.2.1") == "refused")
  }

  @Test("metrics are shown to this machine when they are kept, and else there are none")
  func metricsRoute() async throws {
    let get = "GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    let with = try await RunningServer.start(ScriptedEndpoint()) { $0.metrics = PrometheusRegistry() }
    #expect(try await with.exchange(get).contains("meshd_dwn_connections 1\n"))
    await with.server.shutdown()
    let without = try await RunningServer.start(ScriptedEndpoint())
    #expect(try await without.exchange(get).hasPrefix("HTTP/1.1 404 "))
    await without.server.shutdown()
  }

  @Test("the metrics are text that Prometheus reads")
  func prometheus() {
    let registry = PrometheusRegistry()
    let metrics = ServerMetrics(factory: registry)
    metrics.answered(kind: "RecordsWrite", status: "202", duration: .milliseconds(3))
    metrics.answered(kind: "RecordsWrite", status: "202", duration: .milliseconds(30))
    metrics.refused(.slow)
    metrics.change(.connections, by: 2)
    metrics.change(.connections, by: -1)
    metrics.answered(kind: "a\"b\\c\n", status: "200", duration: .zero)
    let lines = registry.text.split(separator: "\n").map(String.init)
    #expect(lines.contains(#"meshd_dwn_messages_total{kind="RecordsWrite",status="202"} 2"#))
    #expect(lines.contains(#"meshd_dwn_refused_total{reason="slow"} 1"#))
    #expect(lines.contains("meshd_dwn_connections 1"))
    #expect(lines.contains(#"meshd_dwn_message_seconds_bucket{kind="RecordsWrite",le="0.005"} 1"#))
    #expect(lines.contains(#"meshd_dwn_message_seconds_bucket{kind="RecordsWrite",le="+Inf"} 2"#))
    #expect(lines.contains(#"meshd_dwn_message_seconds_count{kind="RecordsWrite"} 2"#))
    #expect(lines.contains(#"meshd_dwn_messages_total{kind="a\"b\\c\n",status="200"} 1"#))
    #expect(lines.filter { $0 == "# TYPE meshd_dwn_message_seconds histogram" }.count == 1)
  }
}
