import Cryptography
import DWN
import Identity
@testable import Mesh
import TestSupport
import Testing
import Wire

@Suite("Relays with encryption v1")
struct V1RelayTests {
  private func plan(_ name: String) -> RelayPlan {
    RelayPlan(host: .name(name), port: 443, stunPorts: [3478])
  }

  private func add(_ plan: RelayPlan, _ history: inout V1History) throws -> RelayRecord {
    let (relay, change) = try history.ledger.addRelay(plan, to: history.id, now: history.wall, random: history.random)
    history.take(change)
    return relay
  }

  @Test("the place of a relay's record is its id, for whoever reads it; after a removal the places are taken up anew")
  func places() throws {
    var history = try V1History(seed: 61)
    let member = try history.join(label: "nas")
    for (index, name) in ["a.example", "b.example", "c.example"].enumerated() {
      #expect(try add(plan(name), &history).id == UInt16(index + 1))
    }
    func seen(by identity: MachineIdentity) throws -> [UInt16: String] {
      let view = try #require(history.reader(of: identity).view(at: history.wall))
      #expect(view.unused.isEmpty)
      return Dictionary(uniqueKeysWithValues: view.relays.map { ($0.id, $0.url) })
    }
    let three: [UInt16: String] = [
      1: "https://a.example:443", 2: "https://b.example:443", 3: "https://c.example:443",
    ]
    #expect(try seen(by: member) == three && seen(by: history.anchor) == three)
    history.take(try history.ledger.removeRelay(1, from: history.id, now: history.wall))
    let two: [UInt16: String] = [1: "https://b.example:443", 2: "https://c.example:443"]
    #expect(try seen(by: member) == two)
    #expect(history.ledger.relays(of: history.id).map(\.id) == [1, 2])
    history.ledger = try Ledger(identity: history.anchor, stored: history.stored)
    #expect(try add(plan("d.example"), &history).id == 3)
    #expect(throws: LedgerError.relayThere(2)) { try add(plan("c.example"), &history) }
  }

  @Test("what is written is what other programs read: the bare name, a label, and the STUN port")
  func bytes() throws {
    let written = try RelayNameRecord(plan("relay.example.com"))
    #expect(written.json == ["url": "relay.example.com", "region": "relay.example.com", "stunPort": 3478])
    #expect(try RelayNameRecord(parsing: written.encoded()) == written)
  }

  @Test(
    "a relay that a name on port 443 does not describe is not recorded, and nothing is signed",
    arguments: [
      RelayPlan(host: .address(IPAddress(v4: 0xc000_0201)), port: 443, stunPorts: [3478]),
      RelayPlan(host: .name("a.example"), port: 8787, stunPorts: [3478]),
      RelayPlan(host: .name("a.example"), port: 443, ipv4: IPAddress(v4: 0xc000_0201), stunPorts: [3478]),
      RelayPlan(
        host: .name("a.example"), port: 443, certSHA256: Bytes32([UInt8](repeating: 7, count: 32)), stunPorts: [3478]),
      RelayPlan(host: .name("a.example"), port: 443),
      RelayPlan(host: .name("a.example"), port: 443, stunPorts: [1, 2]),
      RelayPlan(host: .name("a.example"), port: 443, stunPorts: [3478], stunOnly: true),
    ])
  func unwritable(plan: RelayPlan) throws {
    var history = try V1History(seed: 62)
    let before = history.ledger.outgoing
    #expect(throws: LedgerError.self) { try add(plan, &history) }
    #expect(history.ledger.outgoing == before)
  }

  @Test("a record whose name is none has its place, and is not used; one that does not parse has none")
  func upstream() throws {
    func claim(_ text: String) throws -> RelayClaim { .placed(try RelayNameRecord(parsing: Array(text.utf8))) }
    var register = RelayRegister()
    #expect(try register.add(claim(#"{"url":"a.example","region":"eu"}"#)).stunPorts == [3478])
    #expect(throws: RelayRegister.Unused.noName("https://b.example")) {
      try register.add(claim(#"{"url":"https://b.example","region":"eu","stunPort":1}"#))
    }
    #expect(throws: RelayRegister.Unused.noName("")) { try register.add(claim("{}")) }
    for text in [#"{"url":7}"#, #"{"url":"a","stunPort":"x"}"#, "[]", #"{"region":[]}"#] {
      #expect(throws: MeshError.self, "\(text)") { try claim(text) }
    }
    let last = try register.add(
      claim(
        #"{"url":"c.example","region":"us","regionName":"East","latitude":1.5,"longitude":0,"stunPort":-1,"stunOnly":true}"#
      ))
    #expect(last.id == 4 && last.region == "us" && last.stunPorts.isEmpty && last.stunOnly)
    #expect(register.relays.map(\.id) == [1, 4])
  }
}
