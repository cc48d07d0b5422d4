public import Cryptography
public import Identity
public import Wire

/// `network/relay` with the JWE envelope (`reach.md` section 2): a server that forwards packets between machines that cannot reach
/// each other. A value of this type can be used; a record that breaks a rule gives none, and the error says which.
public struct RelayRecord: MeshPayload, Hashable {
  public static let schema = RecordSchema.relay

  /// Given by the anchor, unique, never used again.
  public var id: UInt16
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
  /// A label for people.
  public var region: String
  /// The member's machine that runs it, if one does.
  public var nodeDID: DID?

  public init(
    id: UInt16, host: RelayHost, port: UInt16, ipv4: IPAddress? = nil, ipv6: IPAddress? = nil,
    certSHA256: Bytes32? = nil,
    stunPorts: [UInt16] = [], stunOnly: Bool = false, region: String, nodeDID: DID? = nil
  ) {
    self.id = id
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

  /// Where it is reached over one family of addresses.
  public enum Reach: Hashable, Sendable {
    case address(IPAddress)
    /// Ask the DNS for the host's name.
    case dns
    /// Not over this family.
    case off
  }

  /// The literal of the record, else that of the URL's host; a name without a literal is looked up.
  public func reach(_ family: IPAddress.Family) -> Reach {
    if let literal = family == .v4 ? ipv4 : ipv6 { return .address(literal) }
    switch host {
    case .name: return .dns
    case .address(let address): return address.family == family ? .address(address) : .off
    }
  }

  /// `https://HOST:PORT`
  public var url: String { "https://\(host):\(port)" }

  public init(_ members: JSONObject) throws(MeshError) {
    let reader = PayloadReader(members, of: Self.schema)
    id = try reader.required("id", "a number from 1 to 65535", PayloadReader.port)
    let text = try reader.required("url", "text") { $0.string }
    guard text.hasPrefix("https://") else { throw reader.malformed("url must be https") }
    guard let (host, port) = RelayHost.split(text.dropFirst("https://".count)) else {
      throw reader.wrong("url", "https://HOST:PORT and nothing else")
    }
    self.host = host
    self.port = port
    ipv4 = try reader.address("ipv4", .v4)
    ipv6 = try reader.address("ipv6", .v6)
    certSHA256 = try reader.optional("certSHA256", "64 hexadecimal digits", PayloadReader.sha256)
    stunPorts = try reader.stunPorts()
    stunOnly = try reader.optional("stunOnly", "true or false") { $0.bool } ?? false
    region = try reader.label("region") ?? String(id)
    nodeDID = try reader.did("nodeDID")
  }

  public var json: JSONValue {
    var object: JSONObject = ["id": .integer(Int64(id)), "url": .string(url)]
    object["ipv4"] = ipv4.map { .string($0.description) }
    object["ipv6"] = ipv6.map { .string($0.description) }
    object["certSHA256"] = certSHA256.map { .string(Hex.encode($0.array)) }
    object.set(stunPorts: stunPorts)
    object["stunOnly"] = stunOnly ? true : nil
    object["region"] = .string(region)
    object["nodeDID"] = nodeDID.map { .string($0.text) }
    return .object(object)
  }
}
