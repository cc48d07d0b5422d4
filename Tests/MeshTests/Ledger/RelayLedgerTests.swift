import Cryptography
import Identity
import Mesh
import TestSupport
import Testing
import Wire

@Suite("Relays in the ledger")
struct RelayLedgerTests {
  private func plan(_ host: String, port: UInt16 = 8787, node: MachineIdentity? = nil) -> RelayPlan {
    RelayPlan(
      host: RelayHost(host)!, port: port, certSHA256: Bytes32([UInt8](repeating: 7, count: 32))!, stunPorts: [port],
      region: host, nodeDID: node?.did)
  }

  private func add(_ plan: RelayPlan, _ history: inout LedgerHistory) throws -> RelayRecord {
    history.pass()
    let (relay, change) = try history.ledger.addRelay(
      plan, to: history.id, now: history.wall, random: history.random)
    history.take(change)
    return relay
  }

  @Test("a network is created with its first relay, which has the id 1, under the first head")
  func first() throws {
    let history = try LedgerHistory(seed: 1)
    var ledger = history.ledger
    let (network, change) = try ledger.createNetwork(
      NetworkPlan(record: NetworkRecord(name: "work"), relay: plan("192.0.2.1")), now: history.wall,
      random: history.random)
    #expect(ledger.relays(of: network.id).map(\.id) == [1])
    var reader = MeshReader(network: network, identity: history.anchor)
    _ = reader.offer(history.messages + change.entries, at: Instant(nanoseconds: 1), wall: history.wall)
    let view = try #require(reader.view(at: history.wall))
    #expect(view.head?.seq == 1)
    #expect(view.relays.map(\.url) == ["https://192.0.2.1:8787"])
    #expect(view.relays == ledger.relays(of: network.id))
  }

  @Test("an id is never given again, also after removal and when the ledger was read anew")
  func ids() throws {
    var history = try LedgerHistory(seed: 2)
    for host in ["a.example", "b.example", "c.example"] { _ = try add(plan(host), &history) }
    history.pass()
    history.take(try history.ledger.removeRelay(3, from: history.id, now: history.wall))
    history.take(try history.ledger.removeRelay(1, from: history.id, now: history.wall))
    history.ledger = try Ledger(identity: history.anchor, stored: history.stored)
    #expect(history.ledger.relays(of: history.id).map(\.id) == [2])
    #expect(try add(plan("d.example"), &history).id == 4)
    #expect(history.anchorReader.view(at: history.wall)?.relays.map(\.id) == [2, 4])
  }

  @Test("a change keeps id and record, and members see the newer one; what says the same signs nothing")
  func change() throws {
    var history = try LedgerHistory(seed: 3)
    let member = try history.addNode()
    _ = try add(plan("a.example"), &history)
    history.pass()
    let other = plan("a.example", port: 9000)
    history.take(
      try history.ledger.changeRelay(1, to: other, in: history.id, now: history.wall, random: history.random))
    let seen = try #require(history.readers[member.did]?.view(at: history.wall))
    #expect(seen.relays.map(\.port) == [9000] && seen.relays.map(\.id) == [1])
    #expect(seen.head?.seq == history.headSeq && seen.unused.isEmpty)
    #expect(
      try history.ledger.changeRelay(1, to: other, in: history.id, now: history.wall, random: history.random).isEmpty)
    let again = try Ledger(identity: history.anchor, stored: history.stored)
    #expect(again.relays(of: history.id) == history.ledger.relays(of: history.id))
  }

  @Test("the anchor's own relay is one record, however its addresses change")
  func own() throws {
    var history = try LedgerHistory(seed: 4)
    for (host, port) in [("192.0.2.1", 8787), ("192.0.2.9", 8787), ("192.0.2.9", 9000)] as [(String, UInt16)] {
      history.pass()
      history.take(
        try history.ledger.announceRelay(
          plan(host, port: port), in: history.id, now: history.wall, random: history.random))
    }
    #expect(history.ledger.relays(of: history.id).map(\.url) == ["https://192.0.2.9:9000"])
    #expect(history.ledger.relays(of: history.id).map(\.id) == [1])
    var renewed = plan("192.0.2.9", port: 9000)
    renewed.certSHA256 = Bytes32([UInt8](repeating: 8, count: 32))!
    history.pass()
    history.take(
      try history.ledger.announceRelay(renewed, in: history.id, now: history.wall, random: history.random))
    #expect(history.ledger.relays(of: history.id).map(\.certSHA256) == [renewed.certSHA256])
  }

  @Test("with a member go the relays that it runs, and no others")
  func removal() throws {
    var history = try LedgerHistory(seed: 5)
    let member = try history.addNode()
    _ = try add(plan("a.example"), &history)
    _ = try add(plan("b.example", node: member), &history)
    history.pass()
    history.take(
      try history.ledger.removeNode(member.did, from: history.id, now: history.wall, random: history.random))
    #expect(history.ledger.relays(of: history.id).map(\.region) == ["a.example"])
    #expect(history.anchorReader.view(at: history.wall)?.relays.map(\.region) == ["a.example"])
  }

  @Test("a second relay at one place, one too many, and one that is not there are refused, and nothing is signed")
  func refusals() throws {
    var history = try LedgerHistory(seed: 6)
    _ = try add(plan("a.example"), &history)
    let before = history.ledger.outgoing
    #expect(throws: LedgerError.relayThere(1)) { try add(plan("a.example"), &history) }
    #expect(throws: LedgerError.unknownRelay(7)) {
      try history.ledger.removeRelay(7, from: history.id, now: history.wall)
    }
    #expect(history.ledger.outgoing == before)
    for index in 2...Ledger.relayLimit { _ = try add(plan("r\(index).example"), &history) }
    #expect(throws: LedgerError.relayLimit) { try add(plan("one-more.example"), &history) }
  }

  @Test("an offer without a host is reached by its address, and one that says neither is none")
  func offers() throws {
    let member = MachineIdentity.generate(random: SeededRandom(9)).did
    var offer = RelayOffer(
      ipv4: IPAddress("192.0.2.1"), ipv6: IPAddress("2001:db8::1"), port: 8788, stunPorts: [8788],
      certSHA256: Bytes32([UInt8](repeating: 1, count: 32))!)
    let plan = try #require(RelayPlan(offer, of: member, region: "nas"))
    #expect(plan.host == .address(IPAddress("192.0.2.1")!) && plan.ipv6 == offer.ipv6 && plan.nodeDID == member)
    offer.ipv4 = nil
    #expect(RelayPlan(offer, of: member, region: nil)?.host == .address(IPAddress("2001:db8::1")!))
    offer.ipv6 = nil
    #expect(RelayPlan(offer, of: member, region: nil) == nil)
  }
}
