import TestSupport
import Wire

/// A few hosts, wherever a seed puts them: alone, in one home, behind one carrier. Some say that others' addresses are their own.
struct RandomTopology {
  private(set) var places: [VirtualPlace] = []
  private(set) var names: [String] = []
  /// Addresses outside that hosts claim, and where nobody of them is.
  private(set) var claimed: Set<SocketAddress> = []

  init(seed: UInt64) {
    let random = SeededRandom(seed)
    for number in 0..<UInt32(2 + random.uniform(below: 4)) {
      let kind = HostKind.allCases[Int(random.uniform(below: UInt64(HostKind.allCases.count)))]
      let neighbour = Int(random.uniform(below: UInt64(number + 1)))
      // Every third has a router with somebody else, as far as its kind has one: both are in one home, or customers of one carrier.
      let shared = neighbour < places.count && random.uniform(below: 3) == 0 ? places[neighbour].routers.last : nil
      let isShared: Bool
      switch kind {
      case .open, .ipv6Only: isShared = false
      case .double: isShared = shared?.behaviour.isolates ?? false
      default: isShared = shared != nil
      }
      var place = kind.place(number, sharing: isShared ? shared : nil)
      if random.uniform(below: 4) == 0 {
        let claim = SocketAddress(IPAddress(v4: 0xcb00_7100 + number), port: 53)
        place.claims = [claim]
        claimed.insert(claim)
      }
      places.append(place)
      names.append(isShared ? "\(kind) with \(names[neighbour])" : "\(kind)")
    }
  }

  /// Whether packets can pass between two hosts without a relay: what follows from their places alone.
  func hasDirectPath(_ a: Int, _ b: Int) -> Bool {
    let (left, right) = (places[a], places[b])
    if left.isGlobal(.v6), right.isGlobal(.v6) { return true }
    guard left.has(.v4), right.has(.v4) else { return false }
    if let nat = left.nat, nat === right.nat { return !nat.behaviour.isolates }
    // Nobody's router sends back to the inside what came from there.
    if left.routers.contains(where: { router in right.routers.contains { $0 === router } }) { return false }
    if left.blocksUDP || right.blocksUDP { return false }
    if left.hasMappedPort || right.hasMappedPort { return true }
    switch (left.isSymmetric, right.isSymmetric) {
    case (false, false): return true
    case (true, true): return false
    // The port that the symmetric one has for the other is known to nobody before its first packet came through.
    case (true, false): return right.filtering != .addressAndPort
    case (false, true): return left.filtering != .addressAndPort
    }
  }
}

extension VirtualPlace {
  fileprivate func has(_ family: IPAddress.Family) -> Bool { addresses.contains { $0.ip.family == family } }

  fileprivate func isGlobal(_ family: IPAddress.Family) -> Bool {
    addresses.contains { $0.ip.family == family && !$0.ip.isPrivate }
  }

  fileprivate var blocksUDP: Bool { routers.contains(where: \.behaviour.blocksUDP) }
  var isSymmetric: Bool { routers.contains(where: \.behaviour.isSymmetric) }
  var hasMappedPort: Bool { routers.count == 1 && nat?.gateway != nil }

  /// The strictest on the way in.
  fileprivate var filtering: NATBehaviour.Filtering {
    routers.map(\.behaviour.filtering).max { $0.rawValue < $1.rawValue } ?? .none
  }
}
