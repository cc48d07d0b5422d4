public import Wire

/// How packets to a peer travel now.
public enum Route: Hashable, Sendable {
  /// No way is known: what is sent has to wait.
  case none
  /// Through the relay alone.
  case relayed
  /// To this address alone: it answered a moment ago.
  case direct(SocketAddress)
  /// To this address, which has not answered lately, and through the relay as well. WireGuard drops what comes twice.
  case both(SocketAddress)

  /// Where datagrams go, if any go.
  public var address: SocketAddress? {
    switch self {
    case .direct(let address), .both(let address): address
    case .none, .relayed: nil
    }
  }

  public var usesRelay: Bool {
    switch self {
    case .relayed, .both: true
    case .none, .direct: false
    }
  }
}
