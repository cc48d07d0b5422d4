public import Cryptography
public import Wire

/// `relay` in a machine's endpoint record: the relay that it runs for the mesh. The anchor tries it before it writes a record.
public struct RelayOffer: Hashable, Sendable {
  /// The name or literal under which it is reached, if it has one beside its addresses.
  public var host: RelayHost?
  public var ipv4: IPAddress?
  public var ipv6: IPAddress?
  public var port: UInt16
  public var stunPorts: [UInt16]
  public var certSHA256: Bytes32

  public init(
    host: RelayHost? = nil, ipv4: IPAddress? = nil, ipv6: IPAddress? = nil, port: UInt16, stunPorts: [UInt16] = [],
    certSHA256: Bytes32
  ) {
    self.host = host
    self.ipv4 = ipv4
    self.ipv6 = ipv6
    self.port = port
    self.stunPorts = stunPorts
    self.certSHA256 = certSHA256
  }

  /// What is left of it with those addresses alone for which that holds; a name says nothing of addresses, and stays. `nil`: nothing is.
  public func limited(to admits: (IPAddress) -> Bool) -> RelayOffer? {
    var offer = self
    offer.ipv4 = ipv4.flatMap { admits($0) ? $0 : nil }
    offer.ipv6 = ipv6.flatMap { admits($0) ? $0 : nil }
    if case .address(let address)? = host, !admits(address) { offer.host = nil }
    return offer.host == nil && offer.ipv4 == nil && offer.ipv6 == nil ? nil : offer
  }

  /// `HOST:PORT`, by name and by address.
  public var places: [String] {
    var places: [String] = []
    for host in [host, ipv4.map { .address($0) }, ipv6.map { .address($0) }].compactMap({ $0 }) {
      let place =
        switch host {
        case .name(let name): "\(name):\(port)"
        case .address(let address): "\(SocketAddress(address, port: port))"
        }
      if !places.contains(place) { places.append(place) }
    }
    return places
  }

  /// `nil` for an offer that cannot be used: the endpoint that carries it is good without it.
  init?(_ json: JSONValue) {
    guard let members = json.object else { return nil }
    let reader = PayloadReader(members, of: .endpoint)
    do {
      host = try reader.optional("host", "a name or an address") { $0.string.flatMap { RelayHost($0) } }
      ipv4 = try reader.address("ipv4", .v4)
      ipv6 = try reader.address("ipv6", .v6)
      port = try reader.required("port", "a port", PayloadReader.port)
      stunPorts = try reader.stunPorts()
      certSHA256 = try reader.required("certSHA256", "64 hexadecimal digits", PayloadReader.sha256)
    } catch {
      return nil
    }
  }

  var json: JSONValue {
    var object = JSONObject()
    object["host"] = host.map { .string($0.text) }
    object["ipv4"] = ipv4.map { .string($0.description) }
    object["ipv6"] = ipv6.map { .string($0.description) }
    object["port"] = .integer(Int64(port))
    object.set(stunPorts: stunPorts)
    object["certSHA256"] = .string(Hex.encode(certSHA256.array))
    return .object(object)
  }
}

extension PayloadReader {
  /// `stunPort`, always there and 0 for none, and `stunPort2`, there if there is a second.
  func stunPorts() throws(MeshError) -> [UInt16] {
    let first = try required("stunPort", "a port, or 0 for none") { $0.integer.flatMap { UInt16(exactly: $0) } }
    let second = try optional("stunPort2", "a port", Self.port)
    guard first != 0 else {
      guard second == nil else { throw malformed("stunPort2 is there without stunPort") }
      return []
    }
    return [first] + (second.map { [$0] } ?? [])
  }
}

extension JSONObject {
  mutating func set(stunPorts: [UInt16]) {
    self["stunPort"] = .integer(Int64(stunPorts.first ?? 0))
    self["stunPort2"] = stunPorts.dropFirst().first.map { .integer(Int64($0)) }
  }
}
