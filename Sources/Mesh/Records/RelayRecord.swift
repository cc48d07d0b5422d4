import Cryptography
import Identity
public import Wire

/// A relay of the network: a server that forwards packets between machines that cannot reach each other. A value of this type can be
/// used; a record that breaks a rule gives none, and the error says which.
///
/// As a payload it is `network/relay` with the JWE envelope (`reach.md` section 2). With encryption v1 it is written as a
/// `RelayNameRecord`.
@dynamicMemberLookup
public struct RelayRecord: MeshPayload, Hashable {
  public static let schema = RecordSchema.relay

  /// Given by the anchor, unique, never used again.
  public let id: UInt16
  /// It has a region.
  public let plan: RelayPlan

  public init(id: UInt16, _ plan: RelayPlan) {
    var plan = plan
    if plan.region == nil { plan.region = String(id) }
    self.id = id
    self.plan = plan
  }

  public subscript<Value>(dynamicMember member: KeyPath<RelayPlan, Value>) -> Value { plan[keyPath: member] }

  /// A label for people.
  public var region: String { plan.region ?? String(id) }

  public init(_ members: JSONObject) throws(MeshError) {
    let reader = PayloadReader(members, of: Self.schema)
    let id = try reader.required("id", "a number from 1 to 65535", PayloadReader.port)
    let text = try reader.required("url", "text") { $0.string }
    guard text.hasPrefix("https://") else { throw reader.malformed("url must be https") }
    guard let (host, port) = RelayHost.split(text.dropFirst("https://".count)) else {
      throw reader.wrong("url", "https://HOST:PORT and nothing else")
    }
    self.init(
      id: id,
      RelayPlan(
        host: host, port: port, ipv4: try reader.address("ipv4", .v4), ipv6: try reader.address("ipv6", .v6),
        certSHA256: try reader.optional("certSHA256", "64 hexadecimal digits", PayloadReader.sha256),
        stunPorts: try reader.stunPorts(),
        stunOnly: try reader.optional("stunOnly", "true or false") { $0.bool } ?? false,
        region: try reader.label("region"), nodeDID: try reader.did("nodeDID")))
  }

  public var json: JSONValue {
    var object: JSONObject = ["id": .integer(Int64(id)), "url": .string(plan.url)]
    object["ipv4"] = plan.ipv4.map { .string($0.description) }
    object["ipv6"] = plan.ipv6.map { .string($0.description) }
    object["certSHA256"] = plan.certSHA256.map { .string(Hex.encode($0.array)) }
    object.set(stunPorts: plan.stunPorts)
    object["stunOnly"] = plan.stunOnly ? true : nil
    object["region"] = .string(region)
    object["nodeDID"] = plan.nodeDID.map { .string($0.text) }
    return .object(object)
  }
}
