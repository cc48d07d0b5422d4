import Testing

/// The kinds of host that the lab knows, by what lies between them and the internet.
enum HostKind: String, CaseIterable, Sendable, CustomTestStringConvertible {
  /// Public addresses, IPv4 and IPv6, and nothing in between.
  case open
  /// A router that lets everybody send to a port that was ever mapped.
  case fullCone = "full-cone"
  /// A router that lets in whom its host has sent to, from any port.
  case addressRestricted = "address-restricted"
  /// A router that lets in whom its host has sent to, from that port alone.
  case portRestricted = "port-restricted"
  /// A router that maps to another random port for every destination.
  case symmetric
  /// Two port-restricted routers in a row.
  case double
  /// A carrier's router, port-restricted, with a public address that its customers share.
  case cgnat
  /// TCP to the outside, and no UDP at all.
  case blocked
  /// A public IPv6 address and no IPv4.
  case ipv6Only = "ipv6-only"
  /// A port-restricted router that maps ports for whoever asks it (`miniupnpd`).
  case upnp

  var testDescription: String { rawValue }

  /// Whether the host has IPv4 addresses.
  var hasIPv4: Bool { self != .ipv6Only }

  /// Whether the host has a global IPv6 address.
  var hasIPv6: Bool { self == .open || self == .ipv6Only }
}

/// Two kinds of host, and how they must end up reaching each other.
struct HostPair: Hashable, Sendable, CustomTestStringConvertible {
  enum Expectation: String, Sendable {
    case direct, relay
    /// Probing of ports may win.
    case either
  }

  let left: HostKind
  let right: HostKind

  /// Every two kinds, each once, and every kind with itself.
  static let all: [HostPair] = HostKind.allCases.indices.flatMap { first in
    HostKind.allCases[first...].map { HostPair(left: HostKind.allCases[first], right: $0) }
  }

  var testDescription: String { "\(left.rawValue) – \(right.rawValue)" }

  /// What physics allows.
  var expectation: Expectation {
    let kinds: Set = [left, right]
    if kinds.contains(.blocked) { return .relay }
    guard left.hasIPv4 && right.hasIPv4 || left.hasIPv6 && right.hasIPv6 else { return .relay }
    // Two customers of one carrier meet nowhere: it neither forwards between them nor turns their packets around.
    if kinds == [.cgnat] { return .relay }
    if kinds.contains(.symmetric) {
      if kinds == [.symmetric] { return .relay }
      return kinds.isDisjoint(with: [.portRestricted, .double, .cgnat]) ? .direct : .either
    }
    return .direct
  }
}
