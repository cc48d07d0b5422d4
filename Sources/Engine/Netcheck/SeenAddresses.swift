import Cryptography
import Netmap
import Wire

/// The addresses at which others saw this machine, kept a little longer than checks of the network are apart, so that one check
/// that fails changes nothing (`traversal.md` 4).
struct SeenAddresses {
  static let lifetime: Duration = .seconds(310)
  static let portsPerAddress = 6
  static let maximum = 24

  private var seen: [SocketAddress: Instant] = [:]

  mutating func note(_ addresses: [SocketAddress], at now: Instant) {
    for address in addresses { seen[address] = now }
    seen = seen.filter { now - $0.value < Self.lifetime }
    var counts: [IPAddress: Int] = [:]
    var kept: [SocketAddress: Instant] = [:]
    for (address, time) in latestFirst where counts[address.ip, default: 0] < Self.portsPerAddress {
      guard kept.count < Self.maximum else { break }
      counts[address.ip, default: 0] += 1
      kept[address] = time
    }
    seen = kept
  }

  /// The latest first.
  func addresses(at now: Instant) -> [SocketAddress] {
    latestFirst.filter { now - $0.1 < Self.lifetime }.map(\.0)
  }

  private var latestFirst: [(SocketAddress, Instant)] {
    seen.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.map { ($0.key, $0.value) }
  }
}

/// What peers say that they see, where servers say nothing (`reach.md` 1): the last word of each, of a few.
struct PeerWitnesses {
  static let maximum = 16
  /// Words that are further apart say nothing together: a router may have begun anew between them.
  static let together: Duration = .seconds(60)
  /// Nor does what was said so long ago say what gets through now. A way that is used brings a word every few seconds.
  static let freshness: Duration = .seconds(60)

  private var words: [(peer: X25519PublicKey, address: SocketAddress, at: Instant)] = []

  /// `true` if that is news.
  mutating func note(_ address: SocketAddress, by peer: X25519PublicKey, at now: Instant) -> Bool {
    if let index = words.firstIndex(where: { $0.peer == peer && $0.address == address }) {
      words[index].at = now
      return false
    }
    words.removeAll { $0.peer == peer && $0.address.ip.family == address.ip.family }
    if words.count >= Self.maximum { words.removeFirst() }
    words.append((peer, address, now))
    return true
  }

  /// Those that were heard lately.
  func latest(at now: Instant) -> PeerWitnesses {
    var latest = self
    latest.words.removeAll { now - $0.at > Self.freshness }
    return latest
  }

  /// What more peers than one see comes first, of the rest the latest.
  var addresses: [SocketAddress] {
    var counts: [SocketAddress: Int] = [:]
    for word in words { counts[word.address, default: 0] += 1 }
    var seen: Set<SocketAddress> = []
    let latest = words.reversed().map(\.address).filter { seen.insert($0).inserted }
    return latest.filter { counts[$0, default: 0] > 1 } + latest.filter { counts[$0, default: 0] == 1 }
  }

  /// Two that see one address, or different ones, tell how the NAT maps. Where two see the same, a third is not needed, nor believed.
  var mapping: NATMapping? {
    let public4 = words.filter { $0.address.ip.family == .v4 && !$0.address.ip.isPrivate }
    guard let latest = public4.map(\.at).max() else { return nil }
    let current = public4.filter { latest - $0.at <= Self.together }
    guard current.count > 1 else { return nil }
    return Set(current.map(\.address)).count < current.count ? .endpointIndependent : .endpointDependent
  }
}
