public import Wire

/// A relay, or several that count as one, as it is measured.
public struct ProbeRegion: Hashable, Sendable {
  /// A server of it.
  public struct Node: Hashable, Sendable {
    public var name: String
    /// Where it answers STUN, by port: the first is measured, a second one tells how a NAT maps. Empty: not on that family.
    public var ipv4: [SocketAddress]
    public var ipv6: [SocketAddress]

    public init(name: String, ipv4: [SocketAddress], ipv6: [SocketAddress]) {
      self.name = name
      self.ipv4 = ipv4
      self.ipv6 = ipv6
    }

    func addresses(_ family: IPAddress.Family) -> [SocketAddress] { family == .v4 ? ipv4 : ipv6 }
  }

  public var id: UInt16
  public var nodes: [Node]
  /// Measured anew only as long as it is the home.
  public var isAvoided: Bool
  public var isMeasured: Bool
  /// Whether it can be asked over HTTPS where it answers no STUN: a relay can.
  public var speaksHTTPS: Bool
  /// Connections with it failed: it is asked over HTTPS whatever STUN says, which tells nothing of connections.
  public var isDoubted: Bool

  public init(
    id: UInt16, nodes: [Node], isAvoided: Bool = false, isMeasured: Bool = true, speaksHTTPS: Bool = true,
    isDoubted: Bool = false
  ) {
    self.id = id
    self.nodes = nodes
    self.isAvoided = isAvoided
    self.isMeasured = isMeasured
    self.speaksHTTPS = speaksHTTPS
    self.isDoubted = isDoubted
  }

  /// Whether anything of it can be asked.
  public var hasAddresses: Bool { nodes.contains { !$0.ipv4.isEmpty || !$0.ipv6.isEmpty } }
}

/// Which relays are asked when (`traversal.md` 5). A list ends with its first answer.
struct ProbePlan: Hashable {
  struct Probe: Hashable {
    var node: ProbeRegion.Node
    /// From the start of the check.
    var delay: Duration
  }

  struct List: Hashable {
    var region: UInt16
    var family: IPAddress.Family
    var probes: [Probe]
  }

  static let fastestMeasuredAgain = 3
  private static let triesAtFirst = 3
  private static let pauseAtFirst: Duration = .milliseconds(100)
  private static let pauseWithoutHistory: Duration = .milliseconds(200)

  private(set) var lists: [List] = []
  /// Whose turn it is, by STUN or otherwise.
  private(set) var regions: Set<UInt16> = []

  /// Every relay, three times; or, with the report of the last time, the fastest of then and the home.
  init(_ regions: [ProbeRegion], hasIPv4: Bool, hasIPv6: Bool, previous: NetcheckReport?, home: UInt16?) {
    let families = [hasIPv4 ? IPAddress.Family.v4 : nil, hasIPv6 ? .v6 : nil].compactMap(\.self)
    guard let previous else {
      for region in regions where region.isMeasured {
        self.regions.insert(region.id)
        for family in families {
          add(region, family, tries: Self.triesAtFirst) { Self.pauseAtFirst * $0 }
        }
      }
      return
    }
    func latency(_ region: ProbeRegion) -> Duration? { previous.latencies[region.id]?.best }
    let sorted = regions.filter { $0.isMeasured && (!$0.isAvoided || $0.id == home) }.sorted {
      (latency($0) ?? .seconds(3600), $0.id) < (latency($1) ?? .seconds(3600), $1.id)
    }
    let hadBoth = previous.hasIPv4 && previous.hasIPv6
    for (rank, region) in sorted.enumerated() where rank < Self.fastestMeasuredAgain || region.id == home {
      self.regions.insert(region.id)
      let isFast = rank < 2
      let isHome = region.id == home
      for family in families {
        // Where both families worked, the slower ones take turns; where IPv6 never did, it is tried once with the fastest.
        if !isFast, !isHome, hadBoth, family != (rank % 2 == 0 ? .v4 : .v6) { continue }
        if !isFast, family == .v6, !previous.hasIPv6 { continue }
        let tries = family == .v6 && !previous.hasIPv6 ? 1 : isHome ? 4 : isFast ? 2 : 1
        let pause = latency(region).map { $0 * 6 / 5 } ?? Self.pauseWithoutHistory
        add(region, family, tries: tries) { pause * $0 + ($0 > 1 ? .milliseconds(50) * $0 : .zero) }
      }
    }
  }

  private mutating func add(
    _ region: ProbeRegion, _ family: IPAddress.Family, tries: Int, delay: (Int) -> Duration
  ) {
    guard !region.nodes.isEmpty else { return }
    let probes = (0..<tries).compactMap { index -> Probe? in
      let node = region.nodes[index % region.nodes.count]
      return node.addresses(family).isEmpty ? nil : Probe(node: node, delay: delay(index))
    }
    if !probes.isEmpty { lists.append(List(region: region.id, family: family, probes: probes)) }
  }
}
