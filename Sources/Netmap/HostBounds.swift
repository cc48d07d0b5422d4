public import Wire

/// What a host's links and routes say of addresses: which of them its tunnels lead to, other VPNs' or another mesh's, and which are
/// broadcast. A way there would be a tunnel in a tunnel, or none.
public struct HostBounds: Hashable, Sendable {
  public var ruledOut: [IPPrefix]
  /// Networks on ordinary links within those: the longer prefix counts, as it does for the kernel.
  public var spared: [IPPrefix]

  public init(ruledOut: [IPPrefix] = [], spared: [IPPrefix] = []) {
    self.ruledOut = ruledOut
    self.spared = spared
  }

  public func rulesOut(_ ip: IPAddress) -> Bool {
    guard let longest = ruledOut.lazy.filter({ $0.contains(ip) }).map(\.length).max() else { return false }
    return !spared.contains { $0.length > longest && $0.contains(ip) }
  }
}
