import Agent
import Foundation
import TestSupport
import Testing
import Wire

@Suite("What doctor makes of what it is told")
struct DiagnosisTests {
  private let now = WallTime(rfc3339: "2026-11-21T12:00:00Z")!

  /// A member's daemon to which nothing is wrong.
  private let healthy: JSONObject = [
    "running": true, "did": "did:jwk:eyJ", "network": "home", "networkRecordID": "bafy", "pid": 7, "uptime": "1m3s",
    "version": "1.0", "tunDevice": "mesh0", "mtu": 1280, "port": 41641, "routingPhase": "ready", "offloads": ["tso"],
    "meshIP": "10.200.0.2", "meshIPv6": "fd0d::2", "self": ["name": "me"], "refused": [], "pending": [], "notes": [],
    "head": ["seq": 3, "epoch": 0, "signedAt": "2026-11-21T11:50:00Z", "acceptedAt": "2026-11-21T11:50:01Z"],
    "endpoints": [["url": "http://a:8787", "lacks": 0]],
    "relays": [["id": 1, "region": "nas", "connected": true, "role": "home"]],
    "peers": [["name": "nas", "path": "direct", "online": true]], "drops": [:],
  ]

  private let netcheck: JSONValue = [
    "udp": true, "globalV4": "203.0.113.5", "natType": "endpoint-independent",
    "portMapping": ["pmp": false, "pcp": true, "upnp": false], "relays": [["id": 1]],
  ]

  private var host: HostReport {
    var host = HostReport(path: "/state")
    (host.exists, host.hasTUN, host.mayConfigure) = (true, true, true)
    return host
  }

  private func diagnosis(
    _ host: HostReport? = nil, netcheck: JSONValue? = nil, _ change: (inout JSONObject) -> Void = { _ in }
  ) -> Diagnosis {
    var status = healthy
    change(&status)
    let isRunning = status["running"]?.bool == true
    return Diagnosis(
      host: host ?? self.host, status: .success(.object(status)),
      netcheck: isRunning ? netcheck ?? self.netcheck : nil, now: now, version: "1.0")
  }

  /// Title, detail and advice of all that is not as it should be.
  private func troubles(_ diagnosis: Diagnosis) -> [String] {
    diagnosis.findings.filter { $0.level == .warn || $0.level == .fail }.map {
      [$0.title, $0.detail ?? "", $0.next ?? ""].joined(separator: " | ")
    }
  }

  @Test("where nothing is wrong it says so, and what it looked at")
  func ready() throws {
    let diagnosis = diagnosis()
    #expect(troubles(diagnosis) == [])
    #expect(diagnosis.verdict == .ready)
    #expect(diagnosis.json["result"] == "ready")
    let checks = try #require(diagnosis.json["checks"]?.array)
    #expect(checks.count == diagnosis.findings.count && checks.count > 10)
    #expect(checks.allSatisfy { $0["level"]?.string != nil && $0["title"]?.string != nil })
  }

  @Test("a folder that is not there, that others may read, and a machine that is in no network are told first")
  func beginnings() {
    let missing = Diagnosis(
      host: HostReport(path: "/typo"), status: .success(MeshCommands.status(without: "/typo")), now: now)
    #expect(missing.verdict == .issues)
    #expect(missing.findings.first?.detail == "/typo" && missing.findings.first?.level == .fail)
    var open = host
    open.exposed = ["/state/identity.json"]
    let exposed = diagnosis(open)
    #expect(exposed.verdict == .warnings && exposed.findings.first?.next == "chmod go= /state/identity.json")
    let alone = diagnosis {
      $0 = ["running": false, "did": "did:jwk:eyJ", "refused": [], "pending": [], "notes": []]
    }
    #expect(troubles(alone).contains { $0.contains("in no network") && $0.contains("--create") })
  }

  @Test("without a daemon it says what keeps one from starting")
  func stopped() {
    var bare = host
    bare.hasTUN = false
    let noDevice = troubles(diagnosis(bare) { $0["running"] = false })
    #expect(noDevice.contains { $0.contains("not running") && $0.contains("meshd up") })
    #expect(noDevice.contains { $0.contains("/dev/net/tun") })
    (bare.hasTUN, bare.mayConfigure) = (true, false)
    #expect(troubles(diagnosis(bare) { $0["running"] = false }).contains { $0.contains("CAP_NET_ADMIN") })
  }

  @Test("a daemon that does not answer is ended by down")
  func hung() {
    let hung = Diagnosis(host: host, status: .failure(.failed("it did not answer in time")), now: now)
    #expect(hung.verdict == .issues)
    #expect(troubles(hung).contains { $0.contains("did not answer") && $0.contains("meshd down") })
  }

  @Test("records that were left out are named with their reasons, and counted where they are many")
  func refused() {
    let records = (0..<7).map { index -> JSONValue in
      ["recordId": "r", "path": "network/node", "author": "did:x", "reason": .string("reason \(index)"), "count": 2]
    }
    let told = diagnosis { $0["refused"] = .array(records) }
    #expect(told.verdict == .warnings)
    let text = troubles(told).joined()
    #expect(text.contains("7 records") && text.contains("reason 0 (2×)") && text.contains("and 2 more"))
  }

  @Test(
    "what is waited for, notes, and a daemon of another version are warnings",
    arguments: [
      ("pending", "2 messages are not yet published to http://a:8787"),
      ("notes", "the clock of did:jwk:x is ahead of this machine's by 400 s"),
      ("notes", "the network has no relay: run one with 'meshd up --relay', or 'meshd relay add URL'"),
    ])
  func told(member: String, text: String) {
    let told = diagnosis { $0[member] = [.string(text)] }
    #expect(told.verdict == .warnings)
    #expect(troubles(told).contains { $0.contains(text) })
  }

  @Test("a daemon of another version is to be started anew")
  func version() {
    #expect(troubles(diagnosis { $0["version"] = "0.9" }).contains { $0.contains("0.9") && $0.contains("meshd up") })
  }

  @Test("one of several nodes in trouble is a warning with its time; if it is the only one, nothing works")
  func nodes() {
    let ill: JSONValue = ["url": "http://b", "lacks": 3, "error": "refused", "since": "2026-11-21T10:00:00Z"]
    let one = diagnosis { $0["endpoints"] = [["url": "http://a", "lacks": 0], ill] }
    #expect(one.verdict == .warnings)
    #expect(troubles(one).contains { $0.contains("http://b") && $0.contains("since 2026") && $0.contains("3 of") })
    #expect(diagnosis { $0["endpoints"] = [ill] }.verdict == .issues)
  }

  @Test("a machine that nobody has added, and a membership that ends soon, are told with who helps")
  func membership() {
    let waiting = diagnosis {
      $0["self"] = nil
      $0["pending"] = ["this machine's own node record"]
    }
    #expect(waiting.verdict == .issues)
    #expect(troubles(waiting).contains { $0.contains("own node record") && $0.contains("peer add did:jwk:eyJ") })
    let ending = diagnosis { $0["self"] = ["name": "me", "expiresAt": "2026-11-22T12:00:00Z"] }
    #expect(troubles(ending).count == 1 && troubles(ending)[0].contains("2026-11-22"))
    #expect(troubles(diagnosis { $0["self"] = ["name": "me", "expiresAt": "2027-11-22T12:00:00Z"] }) == [])
  }

  @Test("relays that show another certificate, and a network without UDP, are told as they are")
  func ways() {
    let wrong: JSONValue = ["id": 2, "region": "x", "connected": false, "error": "it shows another certificate"]
    let one = diagnosis { $0["relays"] = .array((healthy["relays"]?.array ?? []) + [wrong]) }
    #expect(one.verdict == .warnings && troubles(one).contains { $0.contains("another certificate") })
    #expect(diagnosis { $0["relays"] = [wrong] }.verdict == .issues)
    let full: JSONValue = ["id": 2, "region": "x", "connected": true, "error": "full"]
    let two = diagnosis { $0["relays"] = [full] }
    #expect(two.verdict == .warnings && troubles(two).contains { $0.contains("is connected") && $0.contains("full") })
    let none = diagnosis { $0["relays"] = [] }
    #expect(none.verdict == .ready)
    #expect(none.findings.contains { $0.next?.contains("--relay") == true && $0.next?.contains("relay add") == true })
    let blocked = diagnosis(netcheck: ["udp": false, "relays": [["id": 1]]])
    #expect(troubles(blocked).contains { $0.contains("UDP does not get through") })
    #expect(troubles(diagnosis(netcheck: ["udp": false, "relays": []])).contains { $0.contains("UDP does not get") })
    // The relay of an anchor is its own and nobody to ask.
    let alone = diagnosis(netcheck: ["udp": .null, "relays": [["id": 1]]])
    #expect(alone.verdict == .ready)
    #expect(alone.findings.contains { $0.level == .info && $0.title.contains("unknown: there is nobody to ask") })
  }

  @Test("a router that answers and lets nobody in is not one that maps ports")
  func router() {
    for (pmp, error) in [(true, "it maps nothing, and does not say why"), (false, "its answers make no sense")] {
      let found = diagnosis(
        netcheck: [
          "udp": true, "portMapping": ["pmp": .bool(pmp), "pcp": false, "upnp": false, "error": .string(error)],
        ]
      ).findings.filter { $0.title.contains("router maps") }
      #expect(found.count == 1 && found[0].level == .info && found[0].title.hasPrefix("Nobody outside"))
      #expect(found.first?.detail?.contains(error) == true)
      #expect(found.first?.detail?.contains("NAT-PMP") == pmp)
    }
  }

  @Test("the relay that this machine runs is told with its number, or with why nobody uses it")
  func ownRelay() {
    let used = diagnosis { $0["relayServer"] = ["listen": ["0.0.0.0:8788"], "recordedAs": 3] }
    #expect(used.verdict == .ready && used.findings.contains { $0.title.contains("relay 3") })
    let unused = diagnosis { $0["relayServer"] = ["listen": ["0.0.0.0:8788"], "problem": "nobody gets in"] }
    #expect(troubles(unused).contains { $0.contains("0.0.0.0:8788") })
    #expect(unused.findings.contains { $0.detail == "nobody gets in" })
  }

  @Test("servers that talk nonsense are named, and a relay that is not reached is told of once")
  func servers() {
    let told = diagnosis(
      netcheck: [
        "udp": true, "relays": [["id": 1, "region": "nas", "error": "its answers to STUN make no sense"]],
        "stun": [
          ["server": "stun.example.org:3478", "latencyMs": 12, "error": .null],
          ["server": "203.0.113.7:3478", "error": "it says that this machine is seen at 127.0.0.1:1, which cannot be"],
        ],
      ])
    #expect(told.verdict == .warnings && troubles(told).count == 2)
    #expect(troubles(told).contains { $0.contains("Relay 1 (nas)") && $0.contains("no sense") })
    #expect(troubles(told).contains { $0.contains("203.0.113.7:3478") && $0.contains("127.0.0.1:1") })
    // Where it is the only one, it is what is wrong, and not what stands between.
    let only = diagnosis(
      netcheck: [
        "udp": .null, "relays": [["id": 1]],
        "stun": [["server": "203.0.113.7:3478", "latencyMs": .null, "error": "its answers to STUN make no sense"]],
      ])
    #expect(only.verdict == .warnings && troubles(only).count == 1)
    #expect(troubles(only).allSatisfy { $0.contains("203.0.113.7:3478") && $0.contains("make no sense") })
    #expect(only.findings.contains { $0.title.contains("unknown: no server says where this machine is seen") })
    let refused: JSONValue = ["id": 1, "region": "nas", "connected": false, "error": "refused"]
    let both: JSONValue = ["udp": true, "relays": [["id": 1, "error": "refused"]]]
    #expect(troubles(diagnosis(netcheck: both) { $0["relays"] = [refused] }).count == 1)
  }

  @Test("a node that holds the records behind a private address alone is not reached from elsewhere")
  func privateNode() {
    let home = diagnosis { $0["node"] = ["listen": ["0.0.0.0:8787"], "advertise": ["http://192.168.1.2:8787"]] }
    #expect(troubles(home).contains { $0.contains("--advertise") && $0.contains("port") })
    let open = diagnosis { $0["node"] = ["listen": ["0.0.0.0:8787"], "advertise": ["http://203.0.113.1:8787"]] }
    #expect(open.verdict == .ready)
  }

  @Test("a folder is looked at without being changed")
  func looking() throws {
    let folder = TemporaryFolder()
    let path = folder.path + "/state"
    #expect(!HostReport(lookingAt: path).exists)
    try FileManager.default.createDirectory(
      atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
    #expect(HostReport(lookingAt: path).exposed == [])
    try Data().write(to: URL(fileURLWithPath: path + "/identity.json"))
    try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: path + "/identity.json")
    #expect(HostReport(lookingAt: path).exposed == [path + "/identity.json"])
    #expect(try FileManager.default.contentsOfDirectory(atPath: path) == ["identity.json"])
  }
}
