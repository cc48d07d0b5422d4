public import Cryptography
public import Wire

/// `…/endpoint`: where a machine can be reached just now.
public struct EndpointRecord: MeshPayload, Hashable {
  public static let schema = RecordSchema.endpoint

  /// An address that the machine has seen itself under from outside, or was given.
  public struct PublicEndpoint: Hashable, Sendable {
    public var address: SocketAddress
    public var priority: Int64?
    public var source: Source?

    public enum Source: String, Hashable, Sendable {
      case stun, upnp, natpmp, pcp, local
      case fixed = "static"

      /// Whether a gateway maps a port to the machine.
      public var isMapping: Bool { self == .upnp || self == .natpmp || self == .pcp }
    }

    public init(_ address: SocketAddress, priority: Int64? = nil, source: Source? = nil) {
      self.address = address
      self.priority = priority
      self.source = source
    }
  }

  public enum NATType: String, Hashable, Sendable {
    case unknown
    case endpointIndependent = "endpoint-independent"
    case endpointDependent = "endpoint-dependent"
  }

  /// Best first. Entries that are not addresses are left out on reading.
  public var publicEndpoints: [PublicEndpoint]
  /// The host's own addresses with the real port, best first.
  public var localEndpoints: [SocketAddress]
  public var natType: NATType
  /// The machine's key for path discovery; without one it speaks plain WireGuard.
  public var discoKey: X25519PublicKey?
  /// Ids of the relay it listens on, and of the next best.
  public var preferredDERP: UInt16?
  public var standbyDERP: UInt16?
  /// With encryption v1, in the place of `preferredDERP`: the member's relay that it listens on (`RelayPin`).
  public var homeRelay: UInt16?
  /// The relay that this machine offers to the mesh.
  public var relay: RelayOffer?
  public var updatedAt: WallTime

  /// What a record may carry at most (`reach.md` section 4).
  public static let maximumPublicEndpoints = 8
  public static let maximumLocalEndpoints = 12
  public static let maximumSize = 1900

  public init(
    publicEndpoints: [PublicEndpoint] = [], localEndpoints: [SocketAddress] = [], natType: NATType = .unknown,
    discoKey: X25519PublicKey? = nil, preferredDERP: UInt16? = nil, standbyDERP: UInt16? = nil,
    homeRelay: UInt16? = nil, relay: RelayOffer? = nil, updatedAt: WallTime
  ) {
    self.publicEndpoints = publicEndpoints
    self.localEndpoints = localEndpoints
    self.natType = natType
    self.discoKey = discoKey
    self.preferredDERP = preferredDERP
    self.standbyDERP = standbyDERP
    self.homeRelay = homeRelay
    self.relay = relay
    self.updatedAt = updatedAt
  }

  /// The same within the limits of a record: the last addresses of each kind are dropped first, local ones before public ones.
  public func bounded() -> EndpointRecord {
    var result = self
    result.publicEndpoints = Array(publicEndpoints.prefix(Self.maximumPublicEndpoints))
    result.localEndpoints = Array(localEndpoints.prefix(Self.maximumLocalEndpoints))
    while result.json.encoded.count > Self.maximumSize {
      if result.localEndpoints.popLast() == nil, result.publicEndpoints.popLast() == nil { break }
    }
    return result
  }

  public init(_ members: JSONObject) throws(MeshError) {
    let reader = PayloadReader(members, of: Self.schema)
    publicEndpoints = try (reader.optional("publicEndpoints", "a list") { $0.array } ?? []).compactMap {
      PublicEndpoint($0)
    }
    localEndpoints = try reader.texts("localEndpoints").compactMap { SocketAddress($0) }.filter { $0.port != 0 }
    natType = try reader.text("natType").flatMap { NATType(rawValue: $0) } ?? .unknown
    discoKey = try reader.text("discoKey").flatMap { X25519PublicKey(base64: $0) }.flatMap {
      $0.isSmallOrder ? nil : $0
    }
    preferredDERP = reader["preferredDERP"].flatMap(PayloadReader.port)
    standbyDERP = reader["standbyDERP"].flatMap(PayloadReader.port)
    homeRelay = reader["homeRelay"].flatMap(PayloadReader.port).flatMap { RelayPin.isPin($0) ? $0 : nil }
    relay = reader["relay"].flatMap { RelayOffer($0) }
    updatedAt = try reader.requiredTime("updatedAt")
  }

  public var json: JSONValue {
    var object: JSONObject = [
      "publicEndpoints": .array(publicEndpoints.map(\.json)),
      "localEndpoints": .array(localEndpoints.map { .string($0.description) }), "natType": .string(natType.rawValue),
    ]
    object["discoKey"] = discoKey.map { .string($0.base64) }
    object["preferredDERP"] = preferredDERP.map { .integer(Int64($0)) }
    object["standbyDERP"] = standbyDERP.map { .integer(Int64($0)) }
    object["homeRelay"] = homeRelay.map { .integer(Int64($0)) }
    object["relay"] = relay?.json
    object["updatedAt"] = .string(updatedAt.rfc3339)
    return .object(object)
  }
}

extension EndpointRecord.PublicEndpoint {
  fileprivate init?(_ json: JSONValue) {
    guard let ip = json["address"]?.string.flatMap({ IPAddress($0) }),
      let port = json["port"].flatMap(PayloadReader.port)
    else { return nil }
    self.init(
      SocketAddress(ip, port: port), priority: json["priority"]?.integer,
      source: json["source"]?.string.flatMap { Source(rawValue: $0) })
  }

  fileprivate var json: JSONValue {
    var object: JSONObject = ["address": .string(address.ip.description), "port": .integer(Int64(address.port))]
    object["priority"] = priority.map { .integer($0) }
    object["source"] = source.map { .string($0.rawValue) }
    return .object(object)
  }
}
