import TestSupport
import Testing
import Wire

@testable import Traversal

@Suite("What is measured, and what is made of it")
struct NetcheckVectorTests {
  private static let plans = "engine/netcheck_probe_plan.json"
  private static let homes = "engine/netcheck_home_derp.json"

  private static func milliseconds(_ json: JSONValue?) throws -> Duration {
    .nanoseconds(Int64((try #require(json?.double) * 1e6).rounded()))
  }

  private static func regions(_ json: JSONValue?) throws -> [ProbeRegion] {
    try #require(json?.object).members.map { id, region in
      let nodes = try #require(region["nodes"]?.array).map { node in
        func address(_ name: String) throws -> SocketAddress {
          SocketAddress(try #require(node[name]?.string.flatMap { IPAddress($0) }), port: 3478)
        }
        return ProbeRegion.Node(
          name: try #require(node["name"]?.string), ipv4: [try address("ipv4")], ipv6: [try address("ipv6")])
      }
      return ProbeRegion(
        id: try #require(UInt16(id)), nodes: nodes, isMeasured: region["no_measure_no_home"]?.bool != true)
    }
  }

  private static func report(_ json: JSONValue) throws -> NetcheckReport {
    var report = NetcheckReport(startedAt: Instant(nanoseconds: 0))
    for (family, name) in [(IPAddress.Family.v4, "v4_latency_ms"), (.v6, "v6_latency_ms")] {
      for (id, value) in json[name]?.object?.members ?? [] {
        report.latencies[try #require(UInt16(id)), default: .init()][family] = try milliseconds(value)
      }
    }
    return report
  }

  @Test(
    "probes are planned for the same relays at the same times",
    .enabled(if: Fixtures.have(plans), "\(Fixtures.skipped)"))
  func sameProbes() throws {
    let file = try Fixtures.json(Self.plans)
    let regions = try Self.regions(file["derp_map"])
    for vector in try #require(file["cases"]?.array) {
      let preferred = vector["last"]?["preferred"]?.integer ?? 0
      let plan = ProbePlan(
        regions, hasIPv4: vector["have_v4"]?.bool == true, hasIPv6: vector["have_v6"]?.bool == true,
        previous: try vector["last"].map(Self.report), home: preferred == 0 ? nil : UInt16(preferred))
      var found: [String: [String]] = [:]
      for list in plan.lists {
        let family = list.family == .v4 ? "v4" : "v6"
        found["region-\(list.region)-\(family)"] = list.probes.map { "\($0.node.name) \($0.delay)" }
      }
      var expected: [String: [String]] = [:]
      for (name, probes) in try #require(vector["want"]?.object).members {
        expected[name] = try #require(probes.array).map {
          "\(try #require($0["node"]?.string)) \(try Self.milliseconds($0["delay_ms"]))"
        }
      }
      #expect(found == expected, "\(vector["name"]?.string ?? "")")
    }
  }

  @Test(
    "the home is the same after the same reports", .enabled(if: Fixtures.have(homes), "\(Fixtures.skipped)"))
  func sameHome() throws {
    for vector in try #require(try Fixtures.json(Self.homes)["cases"]?.array) {
      let start = Instant(nanoseconds: 3_600_000_000_000)
      var now = start
      var circumstances = HomeRelay.Circumstances()
      for (id, at) in vector["last_derp_activity_ms"]?.object?.members ?? [] {
        circumstances.heard[try #require(UInt16(id))] = start + (try Self.milliseconds(at))
      }
      for (id, score) in vector["region_score"]?.object?.members ?? [] {
        circumstances.scores[try #require(UInt16(id))] = score.double
      }
      circumstances.forced = vector["forced_region"]?.integer.map { UInt16($0) }
      var home = HomeRelay()
      for step in try #require(vector["steps"]?.array) {
        now = now + (try Self.milliseconds(step["advance_ms"]))
        var report = NetcheckReport(startedAt: now - .milliseconds(100))
        for (id, latency) in try #require(step["region_latency_ms"]?.object).members {
          report.latencies[try #require(UInt16(id))] = .init(ipv4: try Self.milliseconds(latency))
        }
        home.take(report, at: now, circumstances)
      }
      let name = vector["name"]?.string ?? ""
      #expect(Int64(home.home ?? 0) == vector["want_home"]?.integer, "\(name)")
      #expect(Int64(home.reports.count) == vector["want_history_len"]?.integer, "\(name)")
    }
  }

  @Test("the standby is the next best, and nobody where there is no other")
  func standby() {
    var home = HomeRelay()
    var report = NetcheckReport(startedAt: Instant(nanoseconds: 0))
    report.latencies = [
      1: .init(ipv4: .milliseconds(30)), 2: .init(ipv6: .milliseconds(10)), 3: .init(https: .milliseconds(20)),
    ]
    var circumstances = HomeRelay.Circumstances()
    home.take(report, at: Instant(nanoseconds: 1), circumstances)
    #expect(home.home == 2 && home.standby == 3)
    circumstances.avoided = [3]
    home.take(report, at: Instant(nanoseconds: 2), circumstances)
    #expect(home.home == 2 && home.standby == 1)
    report.latencies = [2: .init(ipv4: .milliseconds(10))]
    circumstances.heard = [1: Instant(nanoseconds: 3)]
    home.take(report, at: Instant(nanoseconds: 3), circumstances)
    #expect(home.home == 2 && home.standby == 1, "it is connected, though one check missed it")
    home.take(report, at: Instant(nanoseconds: 4))
    #expect(home.home == 2 && home.standby == nil)
  }
}
