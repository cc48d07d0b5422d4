import Wire

/// Who has the places that a server has for connections.
///
/// When they run out, the connection that has waited longest for a request gives way to a new one: somebody who is being served never
/// does. The last eighth of the places is for networks that have none yet, so that a few who are busy do not shut out the others.
struct ConnectionPlaces<ID: Hashable> {
  enum Verdict: Equatable {
    /// `evicting` has lost its place to the new one, and is to be closed.
    case admitted(evicting: ID?)
    case refused
  }

  private struct Place {
    let network: UInt128?
    /// Since when it waits for a request; `nil` while it is served.
    var idleSince: Instant?
  }

  private let maximum: Int
  private let maximumPerNetwork: Int
  private var places: [ID: Place] = [:]
  private var perNetwork: [UInt128: Int] = [:]

  init(maximum: Int, maximumPerNetwork: Int) {
    self.maximum = maximum
    self.maximumPerNetwork = maximumPerNetwork
  }

  var count: Int { places.count }

  /// `network` is whom the bounds hold for; `nil` is this machine, which has none but the whole.
  mutating func admit(_ id: ID, of network: UInt128?, now: Instant) -> Verdict {
    let own = network.map { perNetwork[$0, default: 0] } ?? 0
    var evicted: ID?
    if own > 0, own >= maximumPerNetwork {
      evicted = longestIdle { $0.network == network }
      guard evicted != nil else { return .refused }
    } else if places.count >= (own > 0 ? maximum - maximum / 8 : maximum) {
      evicted = longestIdle { own == 0 || $0.network == network } ?? longestIdle { _ in true }
      guard evicted != nil else { return .refused }
    }
    if let evicted { leave(evicted) }
    places[id] = Place(network: network, idleSince: now)
    if let network { perNetwork[network, default: 0] += 1 }
    return .admitted(evicting: evicted)
  }

  /// It waits for a request since a time, or is served.
  mutating func setIdle(_ id: ID, since time: Instant?) { places[id]?.idleSince = time }

  /// It is closed, or another's bounds hold for it.
  mutating func leave(_ id: ID) {
    guard let place = places.removeValue(forKey: id), let network = place.network, let count = perNetwork[network]
    else { return }
    perNetwork[network] = count > 1 ? count - 1 : nil
  }

  private func longestIdle(_ isMeant: (Place) -> Bool) -> ID? {
    places.compactMap { id, place in isMeant(place) ? place.idleSince.map { (id, $0) } : nil }
      .min { $0.1 < $1.1 }?.0
  }
}
