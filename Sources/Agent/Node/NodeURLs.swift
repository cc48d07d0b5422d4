public import Wire

/// Under which URLs others reach what listens on this machine.
public enum NodeURLs {
  /// What was asked for with `--advertise`, else one URL for each address of which somebody outside may know: those that gateways
  /// map here, then the host's own that a listener covers, global IPv6 first, then global IPv4, then those of its own network.
  public static func advertised(
    _ wanted: [String], listeners: [SocketAddress], mapped: [SocketAddress] = [], hostAddresses: [IPAddress]
  ) -> [String] {
    guard wanted.isEmpty else { return wanted }
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
