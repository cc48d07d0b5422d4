public import Wire

/// Under which URLs others reach what listens on this machine.
public enum NodeURLs {
  /// So many a network's record may name.
  public static let limit = 16

  /// What was asked for with `--advertise`, then what was found out, each once: the one for machines elsewhere, the other for those
  /// beside this one, whose router may not turn packets around (`reach.md` 1).
  public static func advertised(_ wanted: [String], found: [String]) -> [String] {
    var seen: Set<String> = []
    return Array((wanted + found).filter { seen.insert($0).inserted }.prefix(limit))
  }

  /// Both within the limit, and none of them left out altogether.
  static func named(_ own: [String], replicas: [String]) -> [String] {
    let room = own.isEmpty ? limit : limit - 1
    let named = replicas.filter { !own.contains($0) }.prefix(room)
    return Array(own.prefix(limit - named.count) + named)
  }

  /// One URL for each address of which somebody outside may know: those that gateways map here, then the host's own that a listener
  /// covers, global IPv6 first, then global IPv4, then those of its own network.
  public static func found(
    listeners: [SocketAddress], mapped: [SocketAddress] = [], hostAddresses: [IPAddress]
  ) -> [String] {
    let isGlobal = { (address: IPAddress) in !address.isPrivate }
    let ordered =
      hostAddresses.filter { isGlobal($0) && $0.family == .v6 }
      + hostAddresses.filter { isGlobal($0) && $0.family == .v4 }
      + hostAddresses.filter { !isGlobal($0) }
    let own = ordered.compactMap { address in
      listeners.first { $0.ip == address || ($0.ip.isUnspecified && $0.ip.family == address.family) }
        .map { SocketAddress(address, port: $0.port) }
    }
    var seen: Set<SocketAddress> = []
    return (mapped + own).filter { seen.insert($0).inserted }.map { "http://\($0)" }
  }

  /// Whether nobody outside this host's own network can reach any of them.
  public static func areAllPrivate(_ urls: [String]) -> Bool {
    urls.allSatisfy { url in
      guard let address = SocketAddress(url.drop { $0 != "/" }.dropFirst(2)) else { return false }
      return address.ip.isPrivate
    }
  }
}
