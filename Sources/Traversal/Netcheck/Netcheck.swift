import Netmap
public import Wire

/// One check of the network: which relays answer how fast, which addresses they see, and how a NAT maps (`traversal.md` 5,
/// `reach.md` 6). Without I/O: it says what to send and when it wants to be called again, and is told what came.
///
/// It ends by itself within five seconds, whatever comes or does not.
public struct Netcheck: Sendable {
  public enum Action: Hashable, Sendable {
    /// From the socket whose address is being looked for.
    case send([UInt8], to: SocketAddress)
    /// From another socket: does it come back to the first one?
    case sendFromElsewhere([UInt8], to: SocketAddress)
    /// These relays have answered no STUN so far: how long do they take over HTTPS? Each answer goes to `measured`.
    case measureOverHTTPS([UInt16])
    case finished(NetcheckReport)
  }

  static let stunTime: Duration = .seconds(3)
  static let time: Duration = .seconds(5)
  /// A relay whose STUN is silent for so long is asked over HTTPS beside it, so that the check takes no longer for it.
  static let silence: Duration = .seconds(1)
  static let hairpinTime: Duration = .milliseconds(200)
  /// After so many relays have answered the rest gets little time.
  static let enoughRelays = 3
  private static let mappingTries = 3
  private static let mappingPause: Duration = .milliseconds(100)

  private enum Phase: Hashable {
    case probing
    /// Only answers over HTTPS are waited for.
    case overHTTPS
    case finished
  }

  private struct List {
    var plan: ProbePlan.List
    var next = 0
    var isDone = false
  }

  private struct Outstanding {
    var region: UInt16
    var family: IPAddress.Family
    var node: ProbeRegion.Node
    var target: SocketAddress
    var sentAt: Instant
    /// Asked for the mapping alone.
    var isSecondPort: Bool
  }

  private struct Sighting {
    var regions: Set<UInt16> = []
    var latency: Duration

    mutating func note(_ region: UInt16, _ latency: Duration) {
      regions.insert(region)
      self.latency = min(self.latency, latency)
    }
  }

  /// The question whether a second port of a server sees the same address.
  private struct MappingProbe {
    var region: UInt16
    var node: ProbeRegion.Node
    var target: SocketAddress
    var nextAt: Instant
    var tries = 0
  }

  private let isFull: Bool
  private var phase = Phase.probing
  private var lists: [List]
  /// Relays that can be asked over HTTPS, those whose turn it is if STUN is silent, and those that are asked whatever it says.
  private let relays: Set<UInt16>
  private let relaysInTurn: Set<UInt16>
  private let doubted: Set<UInt16>
  /// When STUN has been silent for long enough; `nil`: those that did not answer have been asked.
  private var askHTTPSAt: Instant?
  /// Relays that have been asked over HTTPS, and those of them whose answers are waited for.
  private var asked: Set<UInt16> = []
  private var waiting: Set<UInt16> = []
  private var outstanding: [TransactionID: Outstanding] = [:]
  private var mappingProbe: MappingProbe?
  private var hairpin: (id: TransactionID, until: Instant)?
  private var stopAt: Instant
  private var report: NetcheckReport
  /// Who saw an address, and how near the nearest of them is.
  private var sightings: [SocketAddress: Sighting] = [:]
  /// What a server saw, of those that were asked over IPv4.
  private var seenByIPv4: [SocketAddress: SocketAddress] = [:]

  /// Without a previous report the check is a full one: all relays, and the hairpin.
  public init(
    _ regions: [ProbeRegion], hasIPv4: Bool, hasIPv6: Bool, previous: NetcheckReport?, home: UInt16?, at now: Instant
  ) {
    isFull = previous == nil
    let plan = ProbePlan(regions, hasIPv4: hasIPv4, hasIPv6: hasIPv6, previous: previous, home: home)
    lists = plan.lists.map { List(plan: $0) }
    let askable = regions.filter { $0.speaksHTTPS && $0.isMeasured && !$0.isAvoided }
    let relays = Set(askable.map(\.id))
    self.relays = relays
    doubted = Set(askable.lazy.filter(\.isDoubted).map(\.id))
    // Home and standby are chosen among those that answer: as long as there are not two, all are asked.
    let hadEnough = previous.map { relays.intersection($0.latencies.keys).count > 1 } ?? false
    relaysInTurn = hadEnough ? relays.intersection(plan.regions) : relays
    askHTTPSAt = now + Self.silence
    stopAt = now + Self.stunTime
    report = NetcheckReport(startedAt: now)
  }

  /// When `advance` wants to be called; `nil` once the check is finished.
  public var deadline: Instant? {
    switch phase {
    case .finished: return nil
    case .overHTTPS: return report.startedAt + Self.time
    case .probing:
      var times =
        lists.lazy.filter { !$0.isDone && $0.next < $0.plan.probes.count }
        .map { report.startedAt + $0.plan.probes[$0.next].delay } + [stopAt]
      if let mappingProbe, report.mapping == nil, mappingProbe.tries < Self.mappingTries {
        times.append(mappingProbe.nextAt)
      }
      if let hairpin { times.append(hairpin.until) }
      if let askHTTPSAt { times.append(askHTTPSAt) }
      return times.min()
    }
  }

  public var startedAt: Instant { report.startedAt }

  /// The addresses of this machine that were seen until now, while the check goes on.
  public var addressesSoFar: [SocketAddress] { report.addresses }

  /// Does what is due.
  public mutating func advance(at now: Instant, _ random: some RandomSource) -> [Action] {
    var actions: [Action] = []
    if case .probing = phase { probe(now, random, &actions) }
    if case .overHTTPS = phase, now >= report.startedAt + Self.time { finish(&actions) }
    return actions
  }

  /// Takes a datagram that looks like STUN from the socket. `nil`: it has nothing to do with this check.
  public mutating func receive(_ datagram: [UInt8], at now: Instant, _ random: some RandomSource) -> [Action]? {
    if let hairpin, let message = try? STUNMessage(parsing: datagram), message.type == STUNMessage.bindingRequest,
      message.transactionID == hairpin.id
    {
      report.hairpin = true
      self.hairpin = nil
      return advance(at: now, random)
    }
    guard case .probing = phase, let id = STUNMessage.transactionID(of: datagram), let probe = outstanding[id] else {
      return nil
    }
    outstanding[id] = nil
    var actions: [Action] = []
    if let address = try? STUNResponse(parsing: datagram).address {
      if Self.isPlausible(address, probe.family) {
        take(address, of: probe, now, random, &actions)
      } else {
        note(.impossible(address), of: probe)
      }
    } else {
      note(.nonsense, of: probe)
    }
    return actions + advance(at: now, random)
  }

  private mutating func note(_ trouble: NetcheckReport.Trouble, of probe: Outstanding) {
    report.troubles[probe.region] = trouble
    report.troubledFamilies.insert(probe.family)
  }

  /// How long a relay took over HTTPS; `nil`: it did not answer.
  public mutating func measured(_ relay: UInt16, _ latency: Duration?) -> [Action] {
    guard phase != .finished, waiting.remove(relay) != nil else { return [] }
    if let latency { report.latencies[relay, default: .init()].https = latency }
    var actions: [Action] = []
    if phase == .overHTTPS { finishIfAnswered(&actions) }
    return actions
  }

  // MARK: - Probing

  private mutating func probe(_ now: Instant, _ random: some RandomSource, _ actions: inout [Action]) {
    askOverHTTPS(doubted.union(relaysInTurn.subtracting(lists.lazy.map(\.plan.region))), &actions)
    for index in lists.indices where !lists[index].isDone {
      while lists[index].next < lists[index].plan.probes.count {
        let list = lists[index].plan
        let probe = list.probes[lists[index].next]
        guard report.startedAt + probe.delay <= now else { break }
        guard wouldHelp(list) else {
          lists[index].isDone = true
          break
        }
        lists[index].next += 1
        guard let target = probe.node.addresses(list.family).first else { continue }
        send(list.region, list.family, probe.node, target, isSecondPort: false, now, random, &actions)
      }
    }
    if var probe = mappingProbe, report.mapping == nil, probe.tries < Self.mappingTries, probe.nextAt <= now {
      probe.tries += 1
      probe.nextAt = now + Self.mappingPause
      mappingProbe = probe
      send(probe.region, .v4, probe.node, probe.target, isSecondPort: true, now, random, &actions)
    }
    if let hairpin, now >= hairpin.until {
      report.hairpin = false
      self.hairpin = nil
    }
    let isOver = now >= stopAt || isComplete
    if let due = askHTTPSAt, isOver || due <= now {
      askHTTPSAt = nil
      askOverHTTPS(relaysInTurn.filter { report.latencies[$0]?.hasUDP != true }, &actions)
    }
    if isOver { endProbing(&actions) }
  }

  /// Each is asked once in a check.
  private mutating func askOverHTTPS(_ relays: Set<UInt16>, _ actions: inout [Action]) {
    let relays = relays.subtracting(asked)
    guard !relays.isEmpty else { return }
    asked.formUnion(relays)
    waiting.formUnion(relays)
    actions.append(.measureOverHTTPS(relays.sorted()))
  }

  private mutating func send(
    _ region: UInt16, _ family: IPAddress.Family, _ node: ProbeRegion.Node, _ target: SocketAddress,
    isSecondPort: Bool, _ now: Instant, _ random: some RandomSource, _ actions: inout [Action]
  ) {
    let id = TransactionID(random: random)
    outstanding[id] = Outstanding(
      region: region, family: family, node: node, target: target, sentAt: now, isSecondPort: isSecondPort)
    actions.append(.send(STUNRequest.bytes(id), to: target))
  }

  /// A list whose answer would say nothing new is not gone on with.
  private func wouldHelp(_ list: ProbePlan.List) -> Bool {
    if report.latencies[list.region]?.hasUDP != true { return true }
    return list.family == .v6 ? !report.hasIPv6 : report.mapping == nil
  }

  private mutating func take(
    _ address: SocketAddress, of probe: Outstanding, _ now: Instant, _ random: some RandomSource,
    _ actions: inout [Action]
  ) {
    let latency = now - probe.sentAt
    for index in lists.indices
    where !probe.isSecondPort && lists[index].plan.region == probe.region && lists[index].plan.family == probe.family {
      lists[index].isDone = true
    }
    if !probe.isSecondPort {
      let known = report.latencies[probe.region]?[probe.family]
      report.latencies[probe.region, default: .init()][probe.family] = min(known ?? latency, latency)
      sightings[address, default: Sighting(latency: latency)].note(probe.region, latency)
      report.observations[address] = sightings[address]?.regions.count
      let best = bestSighting(over: probe.family)
      if probe.family == .v4 { report.globalIPv4 = best } else { report.globalIPv6 = best }
    }
    if probe.family == .v4 {
      observe(address, by: probe, now)
      if isFull, report.hairpin == nil, hairpin == nil {
        let id = TransactionID(random: random)
        hairpin = (id, now + Self.hairpinTime)
        actions.append(.sendFromElsewhere(STUNRequest.bytes(id), to: address))
      }
    }
    let answered = report.latencies.values.compactMap(\.overUDP)
    if answered.count >= Self.enoughRelays, let slowest = answered.max() {
      stopAt = min(stopAt, now + slowest * (isFull ? 2 : 1))
    }
  }

  /// What most relays see; of those that as many see, what the nearest does.
  private func bestSighting(over family: IPAddress.Family) -> SocketAddress? {
    sightings.lazy.filter { $0.key.ip.family == family }
      .min { ($1.value.regions.count, $0.value.latency) < ($0.value.regions.count, $1.value.latency) }?.key
  }

  /// Two servers, or two ports of one, that see different addresses tell that the NAT maps by whom it speaks to. Such a NAT shows no two
  /// hosts the same address: where two see the same, a third that says something else is wrong.
  private var mapping: NATMapping? {
    guard seenByIPv4.count > 1 else { return nil }
    let hosts = Dictionary(grouping: seenByIPv4.keys) { seenByIPv4[$0] }.values.map { Set($0.map(\.ip)).count }
    return hosts.count == 1 || hosts.contains { $0 > 1 } ? .endpointIndependent : .endpointDependent
  }

  private mutating func observe(_ address: SocketAddress, by probe: Outstanding, _ now: Instant) {
    seenByIPv4[probe.target] = address
    if let mapping {
      report.mapping = mapping
    } else if mappingProbe == nil, probe.node.ipv4.count > 1 {
      mappingProbe = MappingProbe(region: probe.region, node: probe.node, target: probe.node.ipv4[1], nextAt: now)
    }
  }

  private var isComplete: Bool {
    lists.allSatisfy(\.isDone) && (mappingProbe == nil || report.mapping != nil) && hairpin == nil
  }

  private mutating func endProbing(_ actions: inout [Action]) {
    outstanding = [:]
    if hairpin != nil { report.hairpin = false }
    hairpin = nil
    phase = .overHTTPS
    finishIfAnswered(&actions)
  }

  private mutating func finishIfAnswered(_ actions: inout [Action]) {
    guard waiting.isEmpty else { return }
    // None of those whose turn it was is there: the others may be.
    if relays.isDisjoint(with: report.latencies.keys) { askOverHTTPS(relays, &actions) }
    if waiting.isEmpty { finish(&actions) }
  }

  private mutating func finish(_ actions: inout [Action]) {
    phase = .finished
    actions.append(.finished(report))
  }

  /// What a server that lies or is broken could say, and no NAT gives out.
  private static func isPlausible(_ address: SocketAddress, _ family: IPAddress.Family) -> Bool {
    let ip = address.ip
    return ip.family == family && !ip.isLoopback && !ip.isLinkLocal && !ip.isMulticast && !ip.isUnspecified
      && ip != IPAddress(v4: .max) && address.port > 0
  }
}
