public import Wire

/// `network/relay` with encryption v1, as all programs that share such a network read it (`mesh-protocol.md` sections 5.7 and 10.3):
/// the name of a host, verbatim, where a relay answers on port 443 with a certificate that is valid for the name. It has no number;
/// its place among the network's relay records is its id.
public struct RelayNameRecord: MeshPayload, Hashable {
  public static let schema = RecordSchema.relayName

  /// What stands where the name should. Other programs take what is no name for one, and count it.
  public var url: String
  public var region: String?
  /// `nil`: none. A record that says 0, or nothing, means the usual one.
  public var stunPort: UInt16?
  public var stunOnly: Bool

  public init(url: String, region: String? = nil, stunPort: UInt16? = nil, stunOnly: Bool = false) {
    self.url = url
    self.region = region
    self.stunPort = stunPort
    self.stunOnly = stunOnly
  }

  /// How a relay is told of. Throws `unwritable` for one of which this record cannot tell everything that matters.
  public init(_ plan: RelayPlan) throws(MeshError) {
    let reason: String? =
      if plan.ipv4 != nil || plan.ipv6 != nil || plan.host.isAddress {
        "a relay has a DNS name and no address"
      } else if plan.port != RelayPlan.usualPort {
        "a relay listens on port \(RelayPlan.usualPort)"
      } else if plan.certSHA256 != nil {
        "no certificate can be pinned: it has to be valid for the relay's name"
      } else if plan.stunPorts.count != 1 {
        "a relay answers STUN at exactly one port"
      } else if plan.stunOnly {
        "a relay forwards packets: other programs send them to everything that has a record"
      } else {
        nil
      }
    if let reason { throw .unwritable(record: Self.schema.recordName, reason: "with encryption v1 " + reason) }
    self.init(url: plan.host.text, region: plan.region ?? plan.host.text, stunPort: plan.stunPorts.first)
  }

  /// `nil` for what cannot be used: the name is none.
  public var plan: RelayPlan? {
    guard case .name(let name)? = RelayHost(url) else { return nil }
    return RelayPlan(
      host: .name(name), port: RelayPlan.usualPort, stunPorts: stunPort.map { [$0] } ?? [], stunOnly: stunOnly,
      region: region)
  }

  public init(_ members: JSONObject) throws(MeshError) {
    let reader = PayloadReader(members, of: Self.schema)
    url = try reader.text("url") ?? ""
    region = try reader.label("region")
    let port = try reader.optional("stunPort", "a number") { $0.integer } ?? 0
    stunPort = port == 0 ? RelayPlan.usualSTUNPort : UInt16(exactly: port)
    stunOnly = try reader.optional("stunOnly", "true or false") { $0.bool } ?? false
  }

  public var json: JSONValue {
    var object: JSONObject = ["url": .string(url)]
    object["region"] = region.map { .string($0) }
    object["stunPort"] = .integer(stunPort.map { Int64($0) } ?? -1)
    object["stunOnly"] = stunOnly ? true : nil
    return .object(object)
  }
}
