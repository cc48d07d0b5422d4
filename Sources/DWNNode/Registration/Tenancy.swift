public import Identity

/// Whose records a node keeps. Everybody else's messages are refused with 401 before anything looks at them (dwn-server 1).
public enum Tenancy: Hashable, Sendable, ExpressibleByArrayLiteral {
  /// These DIDs alone.
  case listed(Set<DID>)
  /// Those that a list has at the moment.
  case kept(TenantList)
  /// Any DID.
  case open

  public init(arrayLiteral tenants: DID...) {
    self = .listed(Set(tenants))
  }

  public func includes(_ did: DID) -> Bool {
    switch self {
    case .listed(let tenants): tenants.contains(did)
    case .kept(let list): list.contains(did)
    case .open: true
    }
  }
}
