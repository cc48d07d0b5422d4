import Cryptography
import Identity
import Mesh
import Netmap
import TestSupport
import Testing
import Wire

@testable import Control

@Suite("When this machine writes its endpoint record")
struct PublicationTests {
  private func at(_ milliseconds: Int64) -> Instant { Instant(nanoseconds: 0) + .milliseconds(milliseconds) }

  @Test("nothing is written while nothing changes")
  func idle() {
    var schedule = PublicationSchedule(now: at(0))
    #expect(schedule.deadline(at: at(1000)) == nil)
    let taken = schedule.take(at: at(1000))
    #expect(!taken)
  }

  @Test("a change is written after 250 ms of quiet")
  func debounce() {
    var schedule = PublicationSchedule(now: at(0))
    schedule.changed(at: at(0))
    schedule.changed(at: at(100))
    #expect(schedule.deadline(at: at(100)) == at(350))
    let early = schedule.take(at: at(349))
    #expect(!early)
    let due = schedule.take(at: at(350))
    #expect(due)
    #expect(schedule.deadline(at: at(350)) == nil)
  }

  @Test("addresses that never stop changing are written once a second, then once in ten")
  func flapping() {
    var schedule = PublicationSchedule(now: at(0))
    var written: [Int64] = []
    for time in stride(from: Int64(0), through: 60_000, by: 50) {
      schedule.changed(at: at(time))
      if schedule.take(at: at(time)) { written.append(time) }
    }
    #expect(written.count <= 5 + 6)
    #expect(written.count >= 9)
    #expect(written.prefix(2) == [1000, 2050])
  }

  @Test("the bucket holds five and gets one more every ten seconds")
  func bucket() {
    var bucket = TokenBucket(capacity: 5, interval: .seconds(10), now: at(0))
    for _ in 0..<5 {
      let taken = bucket.take(at: at(0))
      #expect(taken)
    }
    let sixth = bucket.take(at: at(9_999))
    #expect(!sixth)
    #expect(bucket.available(at: at(9_999)) == at(10_000))
    let later = bucket.take(at: at(10_000))
    #expect(later)
    #expect(bucket.available(at: at(10_000)) == at(20_000))
  }

  @Test("nothing but other ports is written a minute after the last write, and anything else at once")
  func calm() {
    var schedule = PublicationSchedule(now: at(0))
    schedule.differs(.calm, at: at(0))
    #expect(schedule.deadline(at: at(0)) == at(250))
    let first = schedule.take(at: at(250))
    #expect(first)
    schedule.changed(at: at(1000))
    schedule.differs(.calm, at: at(1250))
    #expect(schedule.deadline(at: at(1250)) == at(60_250))
    let early = schedule.take(at: at(60_249))
    #expect(!early)
    schedule.changed(at: at(30_000))
    schedule.differs(.soon, at: at(30_250))
    let urgent = schedule.take(at: at(30_250))
    #expect(urgent)
    schedule.differs(.calm, at: at(31_000))
    #expect(schedule.deadline(at: at(31_000)) == at(90_250))
  }
}

@Suite("What this machine's endpoint record says")
struct OwnEndpointTests {
  private func endpoint(
    _ endpoints: [(String, Reach.Endpoint.Source)], _ mesh: [IPPrefix] = [], change: (inout Reach) -> Void = { _ in }
  ) -> OwnEndpoint {
    var reach = Reach(endpoints: endpoints.map { Reach.Endpoint(SocketAddress($0.0)!, $0.1) })
    change(&reach)
    return OwnEndpoint(reach, meshPrefixes: mesh)
  }

  private func record(_ endpoint: OwnEndpoint) -> EndpointRecord {
    endpoint.record(updatedAt: WallTime(seconds: 1_790_000_000))
  }

  @Test("loopback, link-local, multicast, port 0 and the mesh's own addresses are never published")
  func hygiene() {
    let mesh = [IPPrefix("10.200.0.0/16")!, IPPrefix("fd0d:e100:d3c5::/48")!]
    let addresses = [
      "127.0.0.1:1", "[::1]:1", "169.254.1.1:1", "[fe80::1]:1", "224.0.0.1:1", "[ff02::1]:1", "10.200.3.4:1",
      "[fd0d:e100:d3c5:1::5]:1", "0.0.0.0:1", "255.255.255.255:1", "192.0.2.1:0",
    ]
    for source in [Reach.Endpoint.Source.host, .stun, .upnp, .fixed] {
      #expect(endpoint(addresses.map { ($0, source) }, mesh).isEmpty)
    }
  }

  @Test("the host's global addresses are public and its private ones local, in their order, at most 8 and 12")
  func bounds() {
    let input = (0..<30).flatMap {
      [("192.168.1.\($0 + 1):5", Reach.Endpoint.Source.host), ("203.0.113.\($0 + 1):5", .host)]
    }
    let record = record(endpoint(input))
    #expect(record.publicEndpoints.map(\.address.description) == (0..<8).map { "203.0.113.\($0 + 1):5" })
    #expect(record.publicEndpoints.allSatisfy { $0.source == .local })
    #expect(record.localEndpoints.map(\.description) == (0..<12).map { "192.168.1.\($0 + 1):5" })
  }

  @Test(
    "mapped, seen, fixed, global IPv6, other global addresses, each once under the best of its names, and private ones apart"
  )
  func order() {
    let record = record(
      endpoint([
        ("198.51.100.7:5", .host), ("192.168.1.2:5", .host), ("[2001:db8::2]:5", .host), ("[2001:db8::1]:5", .host),
        ("203.0.113.5:9", .fixed), ("198.51.100.7:5", .stun), ("192.168.7.1:5", .stun), ("203.0.113.1:7", .pcp),
      ]))
    #expect(
      record.publicEndpoints.map { "\($0.address) \($0.source?.rawValue ?? "")" } == [
        "203.0.113.1:7 pcp", "198.51.100.7:5 stun", "192.168.7.1:5 stun", "203.0.113.5:9 static",
        "[2001:db8::2]:5 local", "[2001:db8::1]:5 local",
      ])
    #expect(record.localEndpoints.map(\.description) == ["192.168.1.2:5"])
  }

  @Test("an IPv4-mapped address is published as IPv4")
  func mapped() {
    let record = record(endpoint([("[::ffff:192.168.1.1]:7", .host)]))
    #expect(record.localEndpoints.map(\.description) == ["192.168.1.1:7"])
  }

  @Test("mapping, keys and relays are told, and a machine without addresses has them to tell")
  func rest() throws {
    let key = X25519PublicKey([UInt8](repeating: 9, count: 32))!
    let blocked = endpoint([]) {
      $0.discoKey = key
      $0.natMapping = .endpointDependent
      $0.homeRelay = 1
      $0.standbyRelay = 40000
    }
    #expect(!blocked.isEmpty)
    let record = try EndpointRecord(parsing: record(blocked).encoded())
    #expect(record.discoKey == key && record.natType == .endpointDependent)
    #expect(record.preferredDERP == 1 && record.standbyDERP == 40000 && record.homeRelay == nil)
    #expect(OwnEndpoint(record).difference(from: blocked) == .none)
  }

  @Test(
    "a home that a member runs has another name in networks with encryption v1, which programs there do not take for theirs"
  )
  func pinned() {
    let pin = RelayPin.id(of: MachineIdentity.generate(random: SeededRandom(1)).did)
    let reach = Reach(discoKey: X25519PublicKey([UInt8](repeating: 9, count: 32))!, homeRelay: pin)
    let v1 = record(OwnEndpoint(reach, meshPrefixes: [], envelope: .v1))
    #expect(pin >= 32768 && v1.homeRelay == pin && v1.preferredDERP == nil)
    #expect(record(OwnEndpoint(reach, meshPrefixes: [])).preferredDERP == pin)
  }

  @Test("the order of the addresses and the time alone are no change; ports that others see are one of their own kind")
  func difference() throws {
    let one = endpoint([("192.168.1.1:7", .host), ("192.168.1.2:7", .host), ("203.0.113.1:1000", .stun)])
    let written = OwnEndpoint(try EndpointRecord(parsing: record(one).encoded()))
    #expect(
      endpoint([("192.168.1.2:7", .host), ("192.168.1.1:7", .host), ("203.0.113.1:1000", .stun)])
        .difference(from: written) == .none)
    let hosts = [("192.168.1.1:7", Reach.Endpoint.Source.host), ("192.168.1.2:7", .host)]
    #expect(endpoint(hosts + [("203.0.113.1:2000", .stun)]).difference(from: written) == .stunPorts)
    #expect(
      endpoint(hosts + [("203.0.113.1:2000", .stun), ("203.0.113.1:1000", .stun)]).difference(from: written)
        == .stunPorts)
    #expect(endpoint(hosts + [("203.0.113.2:1000", .stun)]).difference(from: written) == .more)
    #expect(endpoint(hosts + [("203.0.113.1:1000", .pcp)]).difference(from: written) == .more)
    #expect(endpoint(hosts).difference(from: written) == .more)
    #expect(
      endpoint(hosts + [("203.0.113.1:1000", .stun)]) { $0.homeRelay = 1 }.difference(from: written) == .more)
  }

  @Test("a record never has more than 1,900 bytes, and what was dropped to fit is no change later")
  func size() throws {
    let wide = (0..<30).flatMap { index in
      [
        ("[2001:db8:1111:2222:3333:4444:5555:\(1000 + index)]:41641", Reach.Endpoint.Source.host),
        ("[fd12:3456:7890:2222:3333:4444:5555:\(1000 + index)]:41641", .host),
      ]
    }
    let one = OwnEndpoint(
      Reach(
        endpoints: wide.map { Reach.Endpoint(SocketAddress($0.0)!, $0.1) },
        discoKey: X25519PublicKey([UInt8](repeating: 9, count: 32))!, homeRelay: 65535, standbyRelay: 65535),
      relay: RelayOffer(
        host: RelayHost(String(repeating: "a.", count: 120) + "example"), ipv6: IPAddress("2001:db8::1"), port: 8788,
        certSHA256: Bytes32([UInt8](repeating: 1, count: 32))!), meshPrefixes: [])
    let encoded = try record(one).encoded()
    #expect(encoded.count <= EndpointRecord.maximumSize)
    #expect(encoded.count > EndpointRecord.maximumSize - 100)
    #expect(OwnEndpoint(try EndpointRecord(parsing: encoded)).difference(from: one) == .none)
  }
}

@Suite("When one endpoint is sent something")
struct PublicationLineTests {
  private func at(_ seconds: Int64) -> Instant { Instant(nanoseconds: 0) + .seconds(seconds) }

  @Test(
    "after an attempt in vain there is a pause that doubles; what was new meanwhile waits for none, but for what the node asks for"
  )
  func pauses() {
    var line = PublicationLine()
    line.began()
    line.left("away", retryAfter: .zero, at: at(0), jitter: 0)
    #expect(line.deadline == at(1))
    line.began()
    line.left("away", retryAfter: .zero, at: at(1), jitter: 0)
    #expect(line.deadline == at(3))
    line.began()
    line.somethingNew(at: at(3))
    line.left("away", retryAfter: .zero, at: at(4), jitter: 0)
    #expect(line.deadline == at(4))
    line.began()
    line.somethingNew(at: at(5))
    line.left("busy", retryAfter: .seconds(30), at: at(5), jitter: 0)
    #expect(line.deadline == at(35))
    line.began()
    line.finished()
    #expect(line.deadline == nil && line.trouble == nil)
  }
}
