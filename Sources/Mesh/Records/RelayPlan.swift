public import Cryptography
public import Identity
public import Wire

/// What the anchor makes a relay record of. The id it gives itself.
public struct RelayPlan: Hashable, Sendable {
  public var host: RelayHost
  public var port: UInt16
  public var ipv4: IPAddress?
  public var ipv6: IPAddress?
  /// SHA-256 of the leaf certificate's DER; without it the certificate is checked against the system's roots.
  public var certSHA256: Bytes32?
  /// UDP ports that answer STUN: none, one, or two.
  public var stunPorts: [UInt16]
  public var stunOnly: Bool
  /// A label for people; `nil`: the id.
  public var region: String?
  /// The member's machine that runs it, if one does.
  public var nodeDID: DID?

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

  /// The plan that a record follows.
  public init(_ record: RelayRecord) {
    self.init(
      host: record.host, port: record.port, ipv4: record.ipv4, ipv6: record.ipv6, certSHA256: record.certSHA256,
      stunPorts: record.stunPorts, stunOnly: record.stunOnly, region: record.region, nodeDID: record.nodeDID)
  }
}

extension RelayRecord {
  public init(id: UInt16, _ plan: RelayPlan) {
    self.init(
      id: id, host: plan.host, port: plan.port, ipv4: plan.ipv4, ipv6: plan.ipv6, certSHA256: plan.certSHA256,
      stunPorts: plan.stunPorts, stunOnly: plan.stunOnly, region: plan.region ?? String(id), nodeDID: plan.nodeDID)
  }
}
