import Identity
import Mesh
import Wire

/// Which relays of members the anchor tells to the mesh (`reach.md` section 2). A machine offers one in its endpoint record; the
/// anchor tries it before it writes a relay record, and ends the record when the offer has been gone for a day.
///
/// It does no I/O. `observe` says what is offered and what is recorded; `begin` gives out what is to be tried now, and `tried` takes
/// the result; `ended` says which records are over.
struct MemberRelays: Hashable, Sendable {
  /// After an offer that did not work it is tried again, and then after twice the time.
  static let firstPause: Duration = .seconds(10)
  static let longestPause: Duration = .seconds(3600)
  /// Between two trials of what one member offers, whatever it offers meanwhile.
  static let memberPause: Duration = .seconds(10)
  /// Between two changes of one member's relays.
  static let changePause: Duration = .seconds(600)
  /// How long an offer is gone before its record is ended.
  static let absenceLimit: Duration = .seconds(24 * 3600)
  /// Where the machine's endpoint record itself is gone, which may be here alone: how long that is seen at least.
  static let shortestAbsence: Duration = .seconds(3600)
  /// Relays of one member at most, whose machines may be several.
  static let memberLimit = 4
  /// Offers that are tried side by side.
  static let parallelLimit = 4

  /// A live machine of the mesh.
  struct Node: Hashable, Sendable {
    var did: DID
    /// Who owns it: the machine itself where nobody else does.
    var member: DID
    var name: String
    var offer: RelayOffer?
    /// When its endpoint record was written; `nil`: there is none.
    var since: WallTime?
    /// When it or the anchor last wrote anything of it.
    var newest: WallTime
  }

  /// What is to be tried.
  struct Trial: Hashable, Sendable {
    var node: DID
    var offer: RelayOffer
    var plan: RelayPlan
    /// Of the record to be written anew; `nil`: there is none.
    var id: UInt16?
  }

  private struct Candidate: Hashable, Sendable {
    var trial: Trial
    var member: DID
    /// Not before a pause after the last trial, nor before the member may change something again; `nil`: there is no room for it.
    var nextTrial: Instant
    var allowed: Instant?
    var pause = MemberRelays.firstPause
    var isUnderWay = false
    /// Nothing of it worked when it was last tried.
    var hasFailed = false

    var due: Instant? { isUnderWay ? nil : allowed.map { max($0, nextTrial) } }
  }

  private var candidates: [DID: Candidate] = [:]
  /// When something of a member was last tried.
  private var lastTrials: [DID: Instant] = [:]
  /// Relays whose offer is gone, and since when.
  private var absent: [UInt16: WallTime] = [:]

  /// Takes in what is so: the live machines but the anchor, and the relays of the ledger.
  mutating func observe(_ nodes: [Node], _ relays: [LedgerRelay], at now: Instant, wall: WallTime) {
    var members: [DID: DID] = [:]
    for node in nodes { members[node.did] = node.member }
    var recorded: [DID: LedgerRelay] = [:]
    var counts: [DID: Int] = [:]
    var changed: [DID: WallTime] = [:]
    for relay in relays {
      guard let did = relay.record.nodeDID else { continue }
      let member = members[did] ?? did
      recorded[did] = recorded[did] ?? relay
      counts[member, default: 0] += 1
      changed[member] = max(relay.writtenAt, changed[member] ?? relay.writtenAt)
    }

    let offerers = Set(nodes.map(\.member))
    lastTrials = lastTrials.filter { offerers.contains($0.key) }
    var former = candidates
    candidates = [:]
    for node in nodes {
      guard let offer = node.offer, let plan = RelayPlan(offer, of: node.did, region: node.name) else { continue }
      let there = recorded[node.did]
      if let there, there.record.says(plan) { continue }
      // What the record lacks was offered when it was written, and did not work.
      let isPart = there?.record.saysPart(of: plan) ?? false
      let trial = Trial(node: node.did, offer: offer, plan: plan, id: there?.record.id)
      var candidate = Candidate(
        trial: trial, member: node.member, nextTrial: isPart ? now + Self.longestPause : now,
        pause: isPart ? Self.longestPause : Self.firstPause)
      if let known = former.removeValue(forKey: node.did), known.trial == trial { candidate = known }
      let hasRoom =
        there != nil || (relays.count < Ledger.relayLimit && counts[node.member, default: 0] < Self.memberLimit)
      let pause = changed[node.member].map { max(.zero, $0 + Self.changePause - wall) } ?? .zero
      let rest = lastTrials[node.member].map { max(.zero, $0 + Self.memberPause - now) } ?? .zero
      candidate.allowed = hasRoom ? now + max(min(pause, Self.changePause), rest) : nil
      candidates[node.did] = candidate
    }

    let offering = Set(nodes.lazy.filter { $0.offer != nil }.map(\.did))
    let there = Dictionary(nodes.map { ($0.did, $0) }, uniquingKeysWith: { first, _ in first })
    var gone: [UInt16: WallTime] = [:]
    for relay in relays {
      guard let did = relay.record.nodeDID, !offering.contains(did) else { continue }
      gone[relay.record.id] = absent[relay.record.id] ?? Self.absence(of: there[did], relay, seenAt: wall)
    }
    absent = gone
  }

  /// Since when an offer is gone, when that is first seen: an anchor that starts again begins no new day.
  private static func absence(of node: Node?, _ relay: LedgerRelay, seenAt wall: WallTime) -> WallTime {
    guard let node else { return wall }
    if let since = node.since { return min(wall, since) }
    // It was there when the relay was recorded, and nothing says that it went before what is known to be the newest.
    let newest = min(wall, max(node.newest, relay.writtenAt))
    return max(newest, wall + (shortestAbsence - absenceLimit))
  }

  /// When there is something to try or to end.
  func deadline(at now: Instant, wall: WallTime) -> Instant? {
    let trials = candidates.values.compactMap(\.due)
    let ends = absent.values.map { now + max(.zero, $0 + Self.absenceLimit - wall) }
    return (trials + ends).min()
  }

  /// The relays whose offer has been gone for too long.
  func ended(at wall: WallTime) -> [UInt16] {
    absent.filter { $0.value + Self.absenceLimit <= wall }.keys.sorted()
  }

  /// What is to be tried now, at most one of each member. Each is to be answered with `tried`.
  mutating func begin(at now: Instant) -> [Trial] {
    var members: Set<DID> = Set(candidates.values.filter(\.isUnderWay).map(\.member))
    var result: [Trial] = []
    let due = candidates.values.filter { $0.due.map { $0 <= now } ?? false }
      .sorted { ($0.nextTrial, $0.trial.node) < ($1.nextTrial, $1.trial.node) }
    for candidate in due where result.count < Self.parallelLimit && members.insert(candidate.member).inserted {
      if let last = lastTrials[candidate.member], now < last + Self.memberPause { continue }
      candidates[candidate.trial.node]?.isUnderWay = true
      lastTrials[candidate.member] = now
      result.append(candidate.trial)
    }
    return result
  }

  /// What did not work when it was last tried, by machine.
  var failures: [Trial] {
    candidates.values.filter(\.hasFailed).map(\.trial).sorted { $0.node < $1.node }
  }

  /// What is to be recorded: the part that works. If nothing does, it is tried again later; so is what could not be recorded.
  mutating func tried(_ trial: Trial, passed: RelayOffer?, at now: Instant) -> RelayPlan? {
    guard var candidate = candidates[trial.node], candidate.trial == trial else { return nil }
    candidate.isUnderWay = false
    candidate.hasFailed = passed == nil
    candidate.nextTrial = now + candidate.pause
    candidate.pause = min(candidate.pause * 2, Self.longestPause)
    candidates[trial.node] = candidate
    return passed.flatMap { RelayPlan($0, of: trial.node, region: trial.plan.region) }
  }
}

extension RelayRecord {
  /// Whether a record of the plan would say the same. The label stays what it was first.
  fileprivate func says(_ plan: RelayPlan) -> Bool {
    var plan = plan
    plan.region = region
    return self.plan == plan
  }

  /// Whether it says of a plan what was found to work, and nothing else.
  fileprivate func saysPart(of plan: RelayPlan) -> Bool {
    let hosts = [plan.host] + [plan.ipv4, plan.ipv6].compactMap { $0.map { .address($0) } }
    let said = self.plan
    return said.port == plan.port && said.certSHA256 == plan.certSHA256 && said.stunPorts == plan.stunPorts
      && hosts.contains(said.host) && [nil, plan.ipv4].contains(said.ipv4) && [nil, plan.ipv6].contains(said.ipv6)
  }
}
