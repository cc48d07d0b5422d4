/// Who has the places that a server has for connections of one kind.
///
/// When they run out, the connection that is needed least gives way to a new one, and of several the one that has been so for longest:
/// what is being served never does. The last eighth of the places is for networks that have none yet, so that a few who are busy
/// do not shut out the others; and no network and no site has more than its bound.
struct ConnectionPlaces<ID: Hashable & Sendable>: Sendable {
  /// How much a connection is needed, from the one that gives way first on.
  enum Standing: Int, Sendable {
    /// It waits for a request, or follows what anybody may follow.
    case waiting
    /// Somebody signed what it follows, without a right that others have not.
    case signed
    /// A request is being answered, or it follows by a right.
    case served
  }

  enum Verdict: Equatable {
    /// `evicting` has lost its place to the new one, and is to be closed.
    case admitted(evicting: ID?)
    case refused
  }

  private struct Place {
    let caller: Caller
    var standing: Standing
    /// Later ones have a greater number.
    var since: Int
  }

  private let maximum: Int
  private let perNetwork: Int
  private let perSite: Int
  private var places: [ID: Place] = [:]
  private var networks: [UInt128: Set<ID>] = [:]
  private var sites: [UInt128: Set<ID>] = [:]
  private var lines: [Standing: Line] = [:]
  private var changes = 0

  init(maximum: Int, perNetwork: Int, perSite: Int = .max) {
    self.maximum = maximum
    self.perNetwork = perNetwork
    self.perSite = perSite
  }

  var count: Int { places.count }

  /// Gives a place to one that is waiting.
  mutating func admit(_ id: ID, of caller: Caller) -> Verdict {
    let own = caller.network.flatMap { networks[$0]?.count } ?? 0
    let neighbours = caller.site.flatMap { sites[$0]?.count } ?? 0
    var evicted: ID?
    if own > 0, own >= perNetwork {
      evicted = leastNeeded(in: networks, caller.network)
      guard evicted != nil else { return .refused }
    } else if neighbours > 0, neighbours >= perSite {
      evicted = leastNeeded(in: sites, caller.site)
      guard evicted != nil else { return .refused }
    } else if places.count >= (own > 0 ? maximum - maximum / 8 : maximum) {
      evicted = leastNeeded(in: networks, caller.network) ?? leastNeeded()
      guard evicted != nil else { return .refused }
    }
    if let evicted { leave(evicted) }
    changes += 1
    places[id] = Place(caller: caller, standing: .waiting, since: changes)
    if let network = caller.network { networks[network, default: []].insert(id) }
    if let site = caller.site { sites[site, default: []].insert(id) }
    lineUp(id, .waiting)
    return .admitted(evicting: evicted)
  }

  /// From now on. One that was waiting and is waiting again goes to the end of the line.
  mutating func set(_ id: ID, _ standing: Standing) {
    guard places[id] != nil else { return }
    changes += 1
    places[id]?.standing = standing
    places[id]?.since = changes
    lineUp(id, standing)
  }

  /// It is closed, or another's bounds hold for it.
  mutating func leave(_ id: ID) {
    guard let place = places.removeValue(forKey: id) else { return }
    Self.remove(id, from: &networks, place.caller.network)
    Self.remove(id, from: &sites, place.caller.site)
  }

  private static func remove(_ id: ID, from groups: inout [UInt128: Set<ID>], _ key: UInt128?) {
    guard let key else { return }
    groups[key]?.remove(id)
    if groups[key]?.isEmpty == true { groups[key] = nil }
  }

  // MARK: Who gives way

  /// Among few, who are all looked at.
  private func leastNeeded(in groups: [UInt128: Set<ID>], _ key: UInt128?) -> ID? {
    (key.flatMap { groups[$0] } ?? []).compactMap { id in places[id].map { (id, $0) } }
      .filter { $0.1.standing != .served }
      .min { ($0.1.standing.rawValue, $0.1.since) < ($1.1.standing.rawValue, $1.1.since) }?.0
  }

  /// Among all, which may be tens of thousands.
  private mutating func leastNeeded() -> ID? {
    for standing in [Standing.waiting, .signed] {
      if let first = lines[standing]?.first(where: { [places] in places[$0.id]?.since == $0.since }) { return first.id }
    }
    return nil
  }

  private mutating func lineUp(_ id: ID, _ standing: Standing) {
    guard standing != .served else { return }
    lines[standing, default: Line()].append(Line.Entry(id: id, since: changes))
    guard let line = lines[standing], line.count > 2 * places.count + 64 else { return }
    lines[standing]?.keep { [places] in places[$0.id]?.since == $0.since }
  }

  /// Who came to a standing in which order. Who left it since is passed over when its turn comes.
  private struct Line: Sendable {
    struct Entry: Sendable {
      let id: ID
      let since: Int
    }

    private var entries: [Entry] = []
    private var begin = 0

    var count: Int { entries.count }

    mutating func append(_ entry: Entry) { entries.append(entry) }

    /// The first that still counts, which stays where it is.
    mutating func first(where counts: (Entry) -> Bool) -> Entry? {
      while begin < entries.count {
        if counts(entries[begin]) { return entries[begin] }
        begin += 1
      }
      entries = []
      begin = 0
      return nil
    }

    mutating func keep(_ counts: (Entry) -> Bool) {
      entries = entries[begin...].filter(counts)
      begin = 0
    }
  }
}
