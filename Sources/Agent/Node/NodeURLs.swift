public import Wire

/// Under which URLs others reach the embedded node.
public enum NodeURLs {
  /// What was asked for with `--advertise`, else one URL for each host address that a listener covers, in the order of
  /// `hostAddresses`.
  public static func advertised(
    _ wanted: [String], listeners: [SocketAddress], hostAddresses: [IPAddress]
  ) -> [String] {
    guard wanted.isEmpty else { return wanted }
    var urls: [String] = []
    for address in hostAddresses {
      let listener = listeners.first { $0.ip == address || ($0.ip.isUnspecified && $0.ip.family == address.family) }
      if let listener { urls.append("http://\(SocketAddress(address, port: listener.port))") }
    }
    return urls
  }

  /// Whether nobody outside this host's own network can reach any of them.
  public static func areAllPrivate(_ urls: [String]) -> Bool {
    urls.allSatisfy { url in
      guard let address = SocketAddress(url.drop { $0 != "/" }.dropFirst(2)) else { return false }
      return address.ip.isPrivate
    }
  }
}
