import Cryptography
import Identity
import Mesh
import TestSupport
import Testing
import Wire

@testable import Control

@Suite("Relays of members, tried by the anchor")
struct MemberRelaysTests {
  private let dids = (0..<12).map { MachineIdentity.generate(random: SeededRandom(UInt64($0))).did }
  private let start = Instant(nanoseconds: 0)
  private let startWall = WallTime(seconds: 1_790_000_000)

  private func offer(_ number: UInt8, port: UInt16 = 8788) -> RelayOffer {
    RelayOffer(
      ipv4: IPAddress("203.0.113.\(number)"), port: port, stunPorts: [port],
      certSHA256: Bytes32([UInt8](repeating: number, count: 32))!)
  }

  private func node(_ index: Int, _ offer: RelayOffer?, member: Int? = nil) -> MemberRelays.Node {
    MemberRelays.Node(
      did: dids[index], member: dids[member ?? index], name: "n\(index)", offer: offer, since: startWall,
      newest: startWall)
  }

  private func recorded(_ id: UInt16, _ offer: RelayOffer, of index: Int, at wall: WallTime) -> LedgerRelay {
    LedgerRelay(
      record: RelayRecord(id: id, RelayPlan(offer, of: dids[index], region: "n\(index)")!), writtenAt: wall)
  }

  @Test("an offer is tried at once, then after 10 s, doubling to an hour")
  func pauses() {
    var relays = MemberRelays()
    let nodes = [node(0, offer(1))]
    var now = start
    var waits: [Double] = []
    for _ in 0..<12 {
      let wall = startWall + (now - start)
      relays.observe(nodes, [], at: now, wall: wall)
      guard let due = relays.deadline(at: now, wall: wall) else { break }
      waits.append((due - now).seconds)
      now = due
      let trials = relays.begin(at: now)
      #expect(trials.map(\.offer) == [offer(1)])
      #expect(relays.deadline(at: now, wall: wall) == nil)
      let plan = relays.tried(trials[0], passed: nil, at: now)
      #expect(plan == nil)
    }
    #expect(waits == [0, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600])
  }

  @Test("what works is recorded once, and nothing is tried while the record says what is offered")
  func recording() throws {
    var relays = MemberRelays()
    relays.observe([node(0, offer(1))], [], at: start, wall: startWall)
    let trial = try #require(relays.begin(at: start).first)
    let plan = relays.tried(trial, passed: trial.offer, at: start)
    #expect(plan == trial.plan && trial.id == nil && plan?.nodeDID == dids[0] && plan?.region == "n0")
    var renamed = node(0, offer(1))
    renamed.name = "other"
    relays.observe([renamed], [recorded(1, offer(1), of: 0, at: startWall)], at: start, wall: startWall)
    #expect(relays.deadline(at: start, wall: startWall) == nil)
  }

  @Test("a result for an offer that is another one by now records nothing")
  func outdated() throws {
    var relays = MemberRelays()
    relays.observe([node(0, offer(1))], [], at: start, wall: startWall)
    let trial = try #require(relays.begin(at: start).first)
    relays.observe([node(0, offer(2))], [], at: start, wall: startWall)
    let plan = relays.tried(trial, passed: trial.offer, at: start)
    #expect(plan == nil)
  }

  @Test("whatever a member offers, with however many machines, something of it is tried once in ten seconds")
  func pace() {
    var relays = MemberRelays()
    var now = start
    var trials: [Instant] = []
    for step in 0..<60 {
      let nodes = (0..<3).map { node($0, offer(UInt8($0 + 1), port: UInt16(9000 + step)), member: 0) }
      relays.observe(nodes, [], at: now, wall: startWall + (now - start))
      for trial in relays.begin(at: now) {
        trials.append(now)
        _ = relays.tried(trial, passed: nil, at: now)
      }
      now = now + .seconds(1)
    }
    #expect(trials.map { ($0 - start).seconds } == [0, 10, 20, 30, 40, 50])
  }

  @Test("what passed is recorded and nothing else; the rest is tried again after an hour")
  func part() throws {
    var relays = MemberRelays()
    var whole = offer(1)
    whole.ipv6 = IPAddress("2001:db8::1")
    relays.observe([node(0, whole)], [], at: start, wall: startWall)
    let trial = try #require(relays.begin(at: start).first)
    let plan = relays.tried(trial, passed: offer(1), at: start)
    #expect(plan?.ipv4 == whole.ipv4 && plan?.ipv6 == nil)
    let there = [recorded(1, offer(1), of: 0, at: startWall)]
    relays.observe([node(0, whole)], there, at: start, wall: startWall)
    let later = start + .seconds(3600)
    #expect(relays.deadline(at: start, wall: startWall) == later)
    let again = try #require(relays.begin(at: later).first)
    #expect(again.id == 1)
    let more = relays.tried(again, passed: whole, at: later)
    #expect(more?.ipv6 == whole.ipv6)
  }

  @Test("a member changes something once in ten minutes, with however many machines")
  func changes() {
    var relays = MemberRelays()
    let there = [recorded(1, offer(1), of: 0, at: startWall)]
    let nodes = [node(0, offer(1, port: 9000)), node(1, offer(2), member: 0), node(2, offer(3))]
    relays.observe(nodes, there, at: start, wall: startWall)
    #expect(relays.begin(at: start).map(\.offer) == [offer(3)])
    let later = start + .seconds(600)
    relays.observe(nodes, there, at: start, wall: startWall)
    #expect(relays.deadline(at: start, wall: startWall) == later)
    let trials = relays.begin(at: later)
    #expect(trials.count == 1)
    #expect(trials.first.map { $0.id == ($0.node == dids[0] ? 1 : nil) } == true)
  }

  @Test("a member has four relays at most, and the mesh 32")
  func limits() {
    var relays = MemberRelays()
    let past = startWall + .seconds(-3600)
    let four = (0..<4).map { recorded(UInt16($0 + 1), offer(UInt8($0 + 1)), of: $0, at: past) }
    let nodes = (0..<5).map { node($0, offer(UInt8($0 + 1)), member: 0) }
    relays.observe(nodes, four, at: start, wall: startWall)
    #expect(relays.begin(at: start).isEmpty)
    #expect(relays.deadline(at: start, wall: startWall) == nil)
    relays.observe(nodes, Array(four.dropLast()), at: start, wall: startWall)
    #expect(relays.begin(at: start).count == 1)

    let many = (1...32).map {
      LedgerRelay(
        record: RelayRecord(id: $0, RelayPlan(host: .name("r\($0).example"), port: 443, region: "r")), writtenAt: past)
    }
    var full = MemberRelays()
    full.observe([node(7, offer(7))], many, at: start, wall: startWall)
    #expect(full.begin(at: start).isEmpty)
    full.observe([node(7, offer(7))], Array(many.dropLast()), at: start, wall: startWall)
    #expect(full.begin(at: start).count == 1)
  }

  @Test("a record ends when its offer has been gone for a day, and not when it came back in between")
  func absence() {
    var relays = MemberRelays()
    let there = [recorded(5, offer(1), of: 0, at: startWall)]
    let day = Duration.seconds(24 * 3600)
    relays.observe([node(0, nil)], there, at: start, wall: startWall + .seconds(60))
    // The endpoint record without it was written a minute before it was seen.
    #expect(relays.deadline(at: start, wall: startWall + .seconds(60)) == start + day - .seconds(60))
    #expect(relays.ended(at: startWall + (day - .seconds(1))).isEmpty)
    #expect(relays.ended(at: startWall + day) == [5])
    relays.observe([node(0, offer(1))], there, at: start, wall: startWall + .seconds(3600))
    #expect(relays.ended(at: startWall + day).isEmpty)
    relays.observe([], there, at: start, wall: startWall + .seconds(7200))
    #expect(relays.ended(at: startWall + .seconds(7200) + day) == [5])
  }

  @Test(
    "where the endpoint record itself is gone, an anchor that starts again begins no new day, and looks for an hour at least"
  )
  func absenceAcrossRestarts() {
    let there = [recorded(5, offer(1), of: 0, at: startWall + .seconds(-3600))]
    var gone = node(0, nil)
    gone.since = nil
    let day = Duration.seconds(24 * 3600)
    for hours in [1, 20, 23, 30] {
      let wall = startWall + .seconds(hours * 3600)
      var relays = MemberRelays()
      relays.observe([gone], there, at: start, wall: wall)
      let rest = Duration.seconds(max(24 - hours, 1) * 3600)
      #expect(relays.deadline(at: start, wall: wall) == start + rest, "\(hours) h")
      #expect(relays.ended(at: wall + (rest - .seconds(1))) == [])
      #expect(relays.ended(at: wall + rest) == [5])
    }
    // It was recorded after everything else that is known of the machine.
    var relays = MemberRelays()
    relays.observe(
      [gone], [recorded(5, offer(1), of: 0, at: startWall + .seconds(3600))], at: start, wall: startWall + day)
    #expect(relays.ended(at: startWall + day + .seconds(3599)) == [])
    #expect(relays.ended(at: startWall + day + .seconds(3600)) == [5])
  }

  @Test("relays that the anchor itself added never end by themselves")
  func owners() {
    var relays = MemberRelays()
    let own = LedgerRelay(
      record: RelayRecord(id: 1, RelayPlan(host: .name("r.example"), port: 443, region: "r")), writtenAt: startWall)
    relays.observe([node(0, nil)], [own], at: start, wall: startWall)
    #expect(relays.deadline(at: start, wall: startWall) == nil)
  }

  @Test("offers of at most four members are tried side by side")
  func parallel() {
    var relays = MemberRelays()
    relays.observe((0..<6).map { node($0, offer(UInt8($0 + 1))) }, [], at: start, wall: startWall)
    #expect(relays.begin(at: start).count == 4)
    #expect(relays.begin(at: start).count == 2)
    #expect(relays.begin(at: start).isEmpty)
  }
}
