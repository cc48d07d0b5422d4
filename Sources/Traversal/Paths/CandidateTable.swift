import Wire

/// An address at which a peer may be, and what came of trying it.
struct Candidate: Sendable {
  /// Place in the peer's record; `nil` if it is not there.
  var recordIndex: Int?
  /// The peer's last call named it.
  var wasCalled = false
  /// When the peer last pinged from it.
  var learntAt: Instant?
  var latency: Duration?
  /// The longest packet that was answered.
  var wireMTU = 0
  /// It does not carry what every path has to, and is left alone until then.
  var tooNarrowUntil: Instant?

  var isWanted: Bool { recordIndex != nil || wasCalled || learntAt != nil }
}

/// The candidates of one peer, bounded by where they come from (`reach.md`, 5, "Hygiene").
struct CandidateTable: Sendable {
  private(set) var entries: [SocketAddress: Candidate] = [:]

  subscript(address: SocketAddress) -> Candidate? { entries[address] }

  /// Replaces what the peer's record says. Addresses have passed the hygiene.
  mutating func setRecord(_ addresses: [SocketAddress]) {
    for address in entries.keys { entries[address]?.recordIndex = nil }
    for (index, address) in addresses.prefix(PathConstants.recordCandidates).enumerated() {
      entries[address, default: Candidate()].recordIndex = index
    }
    removeUnwanted()
  }

  /// Replaces what the last call said.
  mutating func setCalled(_ addresses: [SocketAddress]) {
    for address in entries.keys { entries[address]?.wasCalled = false }
    for address in addresses.prefix(PathConstants.calledCandidates) {
      entries[address, default: Candidate()].wasCalled = true
    }
    removeUnwanted()
  }

  /// Notes that the peer pinged from there. The one that is silent for longest makes room, and never the way in use.
  mutating func learn(_ address: SocketAddress, at now: Instant, keeping inUse: SocketAddress?) {
    if entries[address]?.learntAt == nil {
      let learnt = entries.filter { $0.value.learntAt != nil && $0.key != inUse }
      if entries.values.count(where: { $0.learntAt != nil }) >= PathConstants.learntCandidates,
        let oldest = learnt.min(by: { ($0.value.learntAt ?? now, $0.key) < ($1.value.learntAt ?? now, $1.key) })
      {
        entries[oldest.key]?.learntAt = nil
        removeUnwanted()
      }
    }
    entries[address, default: Candidate()].learntAt = now
  }

  /// The way in use proved itself. That a call names it no more may mean that the call is an old one, and is no reason to forget it.
  mutating func keepBeyondCall(_ inUse: SocketAddress, at now: Instant) {
    guard let candidate = entries[inUse], candidate.wasCalled, candidate.recordIndex == nil else { return }
    learn(inUse, at: now, keeping: inUse)
  }

  /// An address that was learnt stays as if the peer had pinged from it now.
  mutating func keep(_ address: SocketAddress, at now: Instant) {
    if entries[address]?.learntAt != nil { entries[address]?.learntAt = now }
  }

  /// Where the peer is seen from outside over IPv4: what it called from counts before what its record says.
  var outside: SocketAddress? {
    entries.filter {
      $0.key.ip.family == .v4 && !$0.key.ip.isPrivate && ($0.value.wasCalled || $0.value.recordIndex != nil)
    }
    .min {
      ($0.value.wasCalled ? 0 : 1, $0.value.recordIndex ?? .max, $0.key)
        < ($1.value.wasCalled ? 0 : 1, $1.value.recordIndex ?? .max, $1.key)
    }?.key
  }

  mutating func forgetLearnt(before time: Instant) {
    for (address, candidate) in entries {
      if let learnt = candidate.learntAt, learnt < time { entries[address]?.learntAt = nil }
    }
    removeUnwanted()
  }

  /// Those that may be ways: the record's in its order, then the rest. What is too narrow is left out.
  func usable(at now: Instant) -> [SocketAddress] {
    entries.filter { $0.value.tooNarrowUntil.map { now >= $0 } ?? true }
      .sorted { ($0.value.recordIndex ?? .max, $0.key) < ($1.value.recordIndex ?? .max, $1.key) }
      .map(\.key)
  }

  mutating func notePong(_ address: SocketAddress, latency: Duration, wireMTU: Int) {
    guard var candidate = entries[address] else { return }
    candidate.latency = latency
    candidate.wireMTU = max(candidate.wireMTU, wireMTU)
    if wireMTU >= PathConstants.smallestMTU { candidate.tooNarrowUntil = nil }
    entries[address] = candidate
  }

  /// What was found out now, whatever was before.
  mutating func noteWidth(_ address: SocketAddress, wireMTU: Int) { entries[address]?.wireMTU = wireMTU }

  mutating func noteTooNarrow(_ address: SocketAddress, until time: Instant) {
    entries[address]?.tooNarrowUntil = time
    entries[address]?.wireMTU = 0
  }

  /// After a change of the network: what was found out before says nothing any more.
  mutating func forgetResults() {
    for address in entries.keys {
      entries[address]?.latency = nil
      entries[address]?.wireMTU = 0
      entries[address]?.tooNarrowUntil = nil
    }
  }

  mutating func removeUnless(_ isUsable: (SocketAddress) -> Bool) {
    entries = entries.filter { isUsable($0.key) }
  }

  private mutating func removeUnwanted() {
    entries = entries.filter(\.value.isWanted)
  }
}
