import Cryptography
import NIOCore
import Wire

/// Which relay a packet goes to, and what waits for a connection: the part of `RelayConnections` that those who send reach without
/// waiting for it. Packets to one peer keep their order as long as its relay stays the same.
struct RelayBoard<Link> {
  /// What becomes of a packet.
  enum Outcome {
    /// It goes to this connection; these relays are to be connected with as well.
    case send(Link, connect: [UInt16])
    /// It waits; these relays are to be connected with.
    case waits(connect: [UInt16])
    /// There is no relay at all.
    case dropped
  }

  struct Entry {
    var link: Link?
    /// The last try failed, and none has succeeded since.
    var isFailing = false
    /// Somebody is connecting with it, or was told to.
    var isSought = false
    /// Since when whoever connects with it waits for the next try.
    var restingSince: Instant?
    var waiting: [WaitingPacket] = []
    /// When something was last to go there, and it was not connected.
    var wantedAt: Instant?
  }

  /// Between trying one relay and the next for a peer of which none is known.
  static var searchInterval: Duration { .milliseconds(250) }
  /// What a relay said of a peer's absence counts for so long the first time, and twice as long each time that it says so again.
  static var firstAbsence: Duration { .seconds(2) }
  static var longestAbsence: Duration { .seconds(120) }
  /// How long a relay that cannot be connected with is tried after the last packet for it.
  static var persistence: Duration { .seconds(30) }
  /// Who has something for a relay does not wait for its next try any longer, if the last one is so long ago.
  static var shortestRest: Duration { .seconds(5) }
  /// Packets that wait for a connection that is being made.
  static var maximumWaiting: Int { 32 }
  static var maximumPeers: Int { 10_000 }

  private(set) var entries: [UInt16: Entry] = [:]
  var home: UInt16?
  var standby: UInt16?
  /// Where a peer was last heard from.
  private var origins: [X25519PublicKey: UInt16] = [:]
  /// Where a peer is not, by what a relay said last, and until when that is believed.
  private var absent: [X25519PublicKey: [UInt16: (until: Instant, pause: Duration)]] = [:]
  private var searches: [X25519PublicKey: (at: Instant, next: Int)] = [:]

  var isConnected: Bool { entries.values.contains { $0.link != nil } }

  // MARK: Relays

  mutating func add(_ id: UInt16) { entries[id] = entries[id] ?? Entry() }

  mutating func remove(_ id: UInt16) { entries[id] = nil }

  /// It is connected: what waited comes back, to be sent before anything else.
  mutating func connected(_ id: UInt16, _ link: Link) -> [WaitingPacket] {
    guard var entry = entries[id] else { return [] }
    let waiting = entry.waiting
    entry.link = link
    entry.isFailing = false
    entry.restingSince = nil
    entry.waiting = []
    entries[id] = entry
    return waiting
  }

  mutating func disconnected(_ id: UInt16) { entries[id]?.link = nil }

  mutating func failed(_ id: UInt16) { entries[id]?.isFailing = true }

  /// Whether to connect with it now: nobody does so far, or the next try is far away.
  mutating func seek(_ id: UInt16, at now: Instant) -> Bool {
    guard let entry = entries[id],
      !entry.isSought || entry.restingSince.map({ now - $0 >= Self.shortestRest }) ?? false
    else { return false }
    entries[id]?.isSought = true
    entries[id]?.restingSince = nil
    return true
  }

  /// Whoever connects with it waits from now on; `nil`: has begun the next try.
  mutating func rest(_ id: UInt16, since now: Instant?) { entries[id]?.restingSince = now }

  /// Whether something waited for it a moment ago.
  func isWanted(_ id: UInt16, at now: Instant) -> Bool {
    entries[id]?.wantedAt.map { now - $0 < Self.persistence } ?? false
  }

  /// Nobody connects with it any more.
  mutating func leave(_ id: UInt16) {
    entries[id]?.isSought = false
    entries[id]?.restingSince = nil
    entries[id]?.waiting = []
  }

  // MARK: Peers

  mutating func heard(_ key: X25519PublicKey, over id: UInt16) {
    absent[key]?[id] = nil
    guard origins[key] != id else { return }
    if origins.count >= Self.maximumPeers { origins = [:] }
    origins[key] = id
  }

  mutating func isGone(_ key: X25519PublicKey, from id: UInt16, at now: Instant) {
    if origins[key] == id { origins[key] = nil }
    if absent.count >= Self.maximumPeers { absent = [:] }
    let former = absent[key]?[id]
    if let former, now < former.until { return }
    let pause = former.map { min($0.pause * 2, Self.longestAbsence) } ?? Self.firstAbsence
    absent[key, default: [:]][id] = (now + pause, pause)
  }

  // MARK: Packets

  /// The relay that a packet to the peer goes to now, if it is one that is connected.
  func relay(for key: X25519PublicKey, _ relays: [UInt16], at now: Instant) -> UInt16? {
    let named = known(relays, to: key, at: now)
    if let up = named.first(where: { entries[$0]?.link != nil }) { return up }
    return origins[key].flatMap { entries[$0]?.link == nil ? nil : $0 }
  }

  /// - Parameter relays: ids of the peer's home and standby, if known.
  mutating func take(
    _ packet: ByteBuffer, to key: X25519PublicKey, relays: [UInt16], at now: Instant
  ) -> Outcome {
    if let id = relay(for: key, relays, at: now), let link = entries[id]?.link { return .send(link, connect: []) }
    let named = known(relays, to: key, at: now)
    let isHopeful = named.contains { entries[$0]?.isFailing == false }
    // A peer whose relays are gone is at another one, and may have no way to tell.
    let place = isHopeful ? nil : searched(key, besides: named, now)
    // Whichever is connected first carries what comes next.
    var wanted = named.filter { want($0, at: now) }
    guard let id = place ?? named.first(where: { entries[$0]?.isFailing == false }) ?? named.first else {
      return .dropped
    }
    if let link = entries[id]?.link { return .send(link, connect: wanted) }
    wait(packet, key, id)
    if place != nil, want(id, at: now) { wanted.append(id) }
    return .waits(connect: wanted)
  }

  /// Something is to go there. Whether to connect with it now.
  private mutating func want(_ id: UInt16, at now: Instant) -> Bool {
    entries[id]?.wantedAt = now
    return seek(id, at: now)
  }

  /// Of the peer's relays those that exist, without those that said it is not there as long as there is another that works.
  private func known(_ relays: [UInt16], to key: X25519PublicKey, at now: Instant) -> [UInt16] {
    let named = relays.filter { entries[$0] != nil }
    guard let absent = absent[key] else { return named }
    let here = named.filter { id in absent[id].map { now >= $0.until } ?? true }
    return here.allSatisfy { entries[$0]?.isFailing != false } ? named : here
  }

  /// Nobody says where it is: own home, own standby, then the others in turn. Besides relays that are named and fail, those that fail
  /// as well are no places to look at.
  private mutating func searched(_ key: X25519PublicKey, besides named: [UInt16], _ now: Instant) -> UInt16? {
    let own = [home, standby].compactMap { $0 }
    let order = (own + entries.keys.sorted().filter { !own.contains($0) }).filter { id in
      entries[id].map { named.isEmpty || ($0.link != nil || !$0.isFailing) } == true && !named.contains(id)
    }
    guard !order.isEmpty else { return nil }
    var search = searches[key] ?? (now, 0)
    if now - search.at >= Self.searchInterval { search = (now, search.next + 1) }
    if searches.count >= Self.maximumPeers { searches = [:] }
    searches[key] = search
    return order[search.next % order.count]
  }

  private mutating func wait(_ packet: ByteBuffer, _ key: X25519PublicKey, _ id: UInt16) {
    guard var entry = entries[id] else { return }
    if entry.waiting.count >= Self.maximumWaiting { entry.waiting.removeFirst() }
    entry.waiting.append(WaitingPacket(peer: key, bytes: packet))
    entries[id] = entry
  }
}
