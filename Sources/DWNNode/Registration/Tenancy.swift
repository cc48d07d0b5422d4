public import Identity

/// Whose records a node keeps. Everybody else's messages are refused with 401 before anything looks at them (dwn-server 1, 13).
public enum Tenancy: Hashable, Sendable, ExpressibleByArrayLiteral {
  /// These DIDs alone.
  case listed(Set<DID>)
  /// Those that a list has at the moment, each but its owner within the quota.
  case kept(TenantList)
  /// Any DID.
  case open
  /// Whoever registered, and those who are named.
  case registered(RegistrationRequirements, named: Set<DID>)

  public init(arrayLiteral tenants: DID...) {
    self = .listed(Set(tenants))
  }

  /// Whether the operator named this one: no quota holds for it.
  public func names(_ did: DID) -> Bool {
    switch self {
    case .listed(let named), .registered(_, let named): named.contains(did)
    case .kept(let list): did == list.owner
    case .open: false
    }
  }

  var isOpen: Bool { self == .open }

  var requirements: RegistrationRequirements? {
    if case .registered(let requirements, _) = self { requirements } else { nil }
  }
}

/// What a DID does before it is a tenant: a proof of work, and, where there are terms of service, agreeing to them.
public struct RegistrationRequirements: Hashable, Sendable {
  /// The terms, as people read them.
  public var terms: String?
  /// The largest hash that is taken while few register, as the first 16 bytes of 32, all others being ones.
  var easiest: UInt128

  /// Leading zero bits: about a minute of one core's work in a scripting language, and seconds in a fast one.
  public static let usualWork = 24

  /// `work` is how many zero bits the hashes begin with that are taken while few register, 0 to 64.
  public init(terms: String? = nil, work: Int = RegistrationRequirements.usualWork) {
    self.terms = terms
    easiest = .max >> UInt128(work)
  }

  /// As `/info` names them.
  var names: [String] { ["proof-of-work-sha256-v0"] + (terms == nil ? [] : ["terms-of-service"]) }
}
