public import Netmap
public import Wire

/// What a check of the network found.
public struct NetcheckReport: Hashable, Sendable {
  /// How long a relay takes to answer.
  public struct Latency: Hashable, Sendable {
    public var ipv4: Duration?
    public var ipv6: Duration?
    /// Over HTTPS, asked of those that answered no STUN.
    public var https: Duration?

    public init(ipv4: Duration? = nil, ipv6: Duration? = nil, https: Duration? = nil) {
      self.ipv4 = ipv4
      self.ipv6 = ipv6
      self.https = https
    }

    /// The least.
    public var best: Duration? { [ipv4, ipv6, https].compactMap(\.self).min() }

    /// The least of STUN.
    var overUDP: Duration? { [ipv4, ipv6].compactMap(\.self).min() }
    var hasUDP: Bool { overUDP != nil }

    subscript(family: IPAddress.Family) -> Duration? {
      get { family == .v4 ? ipv4 : ipv6 }
      set { if family == .v4 { ipv4 = newValue } else { ipv6 = newValue } }
    }
  }

  /// What a server says instead of where it sees this machine.
  public enum Trouble: Hashable, Sendable {
    /// It answers what was asked, and no address can be read of it.
    case nonsense
    /// An address that no machine is seen at.
    case impossible(SocketAddress)
  }

  public var startedAt: Instant
  /// By the relay's id; one that did not answer is not in it.
  public var latencies: [UInt16: Latency] = [:]
  /// By the relay's id, whatever else it says.
  public var troubles: [UInt16: Trouble] = [:]
  /// Over which something of that came, so that no answer there is no sign that UDP does not get through.
  public var troubledFamilies: Set<IPAddress.Family> = []
  /// The address that most relays saw; of those that as many saw, the one that the nearest did.
  public var globalIPv4: SocketAddress?
  public var globalIPv6: SocketAddress?
  /// How many relays saw an address.
  public var observations: [SocketAddress: Int] = [:]
  /// `nil`: unknown, as it is when only one relay answered on one port.
  public var mapping: NATMapping?
  /// Whether this machine reaches itself by its address outside; `nil`: not tried.
  public var hairpin: Bool?

  public init(startedAt: Instant) {
    self.startedAt = startedAt
  }

  public var hasUDP: Bool { hasIPv4 || hasIPv6 }
  public var hasIPv4: Bool { latencies.values.contains { $0.ipv4 != nil } }
  public var hasIPv6: Bool { latencies.values.contains { $0.ipv6 != nil } }

  /// Addresses worth telling others: the two above, and those that more than one relay saw.
  public var addresses: [SocketAddress] {
    let first = [globalIPv4, globalIPv6].compactMap(\.self)
    return first + observations.filter { $0.value > 1 && !first.contains($0.key) }.keys.sorted()
  }
}
