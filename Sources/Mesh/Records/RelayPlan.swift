public import Cryptography
public import Identity
public import Wire

/// Where a relay is and what it does: what the anchor makes a relay record of, but for the id.
public struct RelayPlan: Hashable, Sendable {
  public var host: RelayHost
  /// TCP, with TLS.
  public var port: UInt16
  public var ipv4: IPAddress?
  public var ipv6: IPAddress?
  /// SHA-256 of the leaf certificate's DER; without it the certificate is checked against the system's roots.
  public var certSHA256: Bytes32?
  /// UDP ports that answer STUN: none, one, or two.
  public var stunPorts: [UInt16]
  /// It forwards nothing.
  public var stunOnly: Bool
  /// A label for people; `nil`: the id.
  public var region: String?
  /// The member's machine that runs it, if one does.
  public var nodeDID: DID?

  /// HTTPS.
  public static let usualPort: UInt16 = 443
  /// RFC 8489 section 2.
  public static let usualSTUNPort: UInt16 = 3478

  public init(
    host: RelayHost, port: UInt16, ipv4: IPAddress? = nil, ipv6: IPAddress? = nil, certSHA256: Bytes32? = nil,
    stunPorts: [UInt16] = [], stunOnly: Bool = false, region: String? = nil, nodeDID: DID? = nil
  ) {
    self.host = host
    self.port = port
    self.ipv4 = ipv4
    self.ipv6 = ipv6
    self.certSHA256 = certSHA256
    self.stunPorts = stunPorts
    self.stunOnly = stunOnly
    self.region = region
    self.nodeDID = nodeDID
  }

  /// What a member offers. `nil` where the offer says neither a name nor an address.
  public init?(_ offer: RelayOffer, of node: DID, region: String?) {
    guard let host = offer.host ?? (offer.ipv4 ?? offer.ipv6).map({ .address($0) }) else { return nil }
    self.init(
      host: host, port: offer.port, ipv4: offer.ipv4, ipv6: offer.ipv6, certSHA256: offer.certSHA256,
      stunPorts: offer.stunPorts, region: region, nodeDID: node)
  }

  /// Where it is reached over one family of addresses.
  public enum Reach: Hashable, Sendable {
    case address(IPAddress)
    /// Ask the DNS for the host's name.
    case dns
    /// Not over this family.
    case off
  }

  /// The literal of the plan, else that of the URL's host; a name without a literal is looked up.
  public func reach(_ family: IPAddress.Family) -> Reach {
    if let literal = family == .v4 ? ipv4 : ipv6 { return .address(literal) }
    switch host {
    case .name: return .dns
    case .address(let address): return address.family == family ? .address(address) : .off
    }
  }

  /// `https://HOST:PORT`
  public var url: String { "https://\(host):\(port)" }
}
