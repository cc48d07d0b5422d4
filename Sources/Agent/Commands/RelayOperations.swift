import Control
import Cryptography
import Identity
import Mesh
import Wire

/// What a person says of a relay that is added to the network.
public struct RelayRequest: Hashable, Sendable {
  /// `https://HOST` or `https://HOST:PORT`; in a network with encryption v1 also a DNS name alone.
  public var url: String
  public var region: String?
  /// 64 hexadecimal digits: SHA-256 of the certificate.
  public var pin: String?
  /// At most two; 0 alone: none. Empty: the usual one.
  public var stunPorts: [UInt16]
  public var stunOnly: Bool

  public init(
    url: String, region: String? = nil, pin: String? = nil, stunPorts: [UInt16] = [], stunOnly: Bool = false
  ) {
    self.url = url
    self.region = region
    self.pin = pin
    self.stunPorts = stunPorts
    self.stunOnly = stunOnly
  }

  /// Throws `badArgument` for what no relay record can say, in whatever network.
  public func check() throws(AgentError) {
    _ = try plan(for: url.contains("://") ? .jwe : .v1)
  }

  func plan(for envelope: Envelope) throws(AgentError) -> RelayPlan {
    guard let (host, port) = place(for: envelope) else {
      throw .badArgument(
        "\"\(url)\" is not the URL of a relay: it looks like https://relay.example.com or https://192.0.2.1:8787")
    }
    if case .address(let address) = host, Self.isOfOneMachine(address) {
      throw .badArgument("\(address) is not an address under which the others reach a relay: name one that they do")
    }
    var certificate: Bytes32?
    if let pin {
      guard let bytes = Hex.decode(pin).flatMap({ Bytes32($0) }) else {
        throw .badArgument("--pin takes the 64 hexadecimal digits of the certificate's SHA-256")
      }
      certificate = bytes
    }
    if let region, !(1...64).contains(region.count) || region.contains(where: \.isNewline) {
      throw .badArgument("a region has 1 to 64 characters on one line")
    }
    guard stunPorts.count <= 2, Set(stunPorts).count == stunPorts.count, stunPorts.count < 2 || !stunPorts.contains(0)
    else { throw .badArgument("--stun-port takes one port or two different ones, or 0 for none") }
    if stunOnly, stunPorts == [0] { throw .badArgument("with --stun-only a relay needs a STUN port") }
    return RelayPlan(
      host: host, port: port, certSHA256: certificate,
      stunPorts: stunPorts.isEmpty ? [RelayPlan.usualSTUNPort] : stunPorts.filter { $0 != 0 }, stunOnly: stunOnly,
      region: region)
  }

  /// Addresses that mean another machine for everybody who reads the record, or none.
  private static func isOfOneMachine(_ address: IPAddress) -> Bool {
    let address = address.unmapped
    return address.isUnspecified || address.isLoopback || address.isLinkLocal || address.isMulticast
      || address == IPAddress(v4: 0xffff_ffff) || AddressPlan.ipv6Block.contains(address)
  }

  /// `https://HOST` or `https://HOST:PORT`, perhaps with one `/` behind it. With encryption v1, whose records hold names, also a name.
  private func place(for envelope: Envelope) -> (RelayHost, UInt16)? {
    if envelope == .v1, case .name(let name)? = RelayHost(url) { return (.name(name), RelayPlan.usualPort) }
    let scheme = "https://"
    guard url.hasPrefix(scheme) else { return nil }
    let rest = url.dropFirst(scheme.count)
    let authority = rest.hasSuffix("/") ? rest.dropLast() : rest
    return RelayHost.split(authority) ?? RelayHost.split(authority + ":443")
  }

  var json: JSONObject {
    var object: JSONObject = [
      "url": .string(url), "stunPorts": .array(stunPorts.map { .integer(Int64($0)) }), "stunOnly": .bool(stunOnly),
    ]
    object["region"] = region.map { .string($0) }
    object["pin"] = pin.map { .string($0) }
    return object
  }

  /// As a daemon gets it.
  init(_ json: JSONValue) throws(AgentError) {
    guard let url = json["url"]?.string else { throw .badArgument("the request names no URL") }
    self.init(
      url: url, region: json["region"]?.string, pin: json["pin"]?.string,
      stunPorts: (json["stunPorts"]?.array ?? []).compactMap { $0.integer.flatMap { UInt16(exactly: $0) } },
      stunOnly: json["stunOnly"]?.bool ?? false)
  }
}

extension MeshOperations {
  func addRelay(_ request: RelayRequest) async throws -> JSONValue {
    guard isAnchor else { throw AgentError.notTheAnchor("add relays for everybody") }
    let (plan, id) = (try request.plan(for: network.envelope), network.reference.id)
    if case .address(let address) = plan.host, IPPrefix(network.meshCIDR)?.contains(address) == true {
      throw AgentError.badArgument("\(address) is an address of the mesh itself, which needs the relay to come about")
    }
    let (relay, change) = try await session.keeper.perform { ledger in
      let (relay, change) = try ledger.addRelay(plan, to: id, now: .now(), random: SystemRandom())
      return ((relay, change), change)
    }
    return try await published(change, ["relay": json(relay, nodes: [])])
  }

  func removeRelay(_ relay: UInt16) async throws -> JSONValue {
    guard isAnchor else { throw AgentError.notTheAnchor("remove relays") }
    let id = network.reference.id
    let former = await session.keeper.ledger.relays(of: id).first { $0.id == relay }
    let change = try await session.keeper.perform { try $0.removeRelay(relay, from: id, now: .now()) }
    var result: JSONObject = ["id": .integer(Int64(relay))]
    result["url"] = former.map { .string($0.url) }
    if let text = former.flatMap(returning) { result["warnings"] = [.string(text)] }
    return try await published(change, result)
  }

  /// Why a relay that was removed comes back, and how it ends. `nil`: it does not.
  private func returning(_ relay: RelayRecord) -> String? {
    if relay.nodeDID != nil {
      return "the machine that runs this relay offers it, and it is recorded again as long as it does: "
        + "'meshd down' and 'meshd up --no-relay' there end it"
    }
    guard network.envelope.registersRelays, let certificate = try? session.directory.keptRelayCertificate,
      relay.certSHA256 == certificate, (try? session.directory.loadSettings().relay.isOn) ?? network.embedsNode
    else { return nil }
    return "this machine runs that relay itself: its daemon records it again under another number, which all use then; "
      + "'meshd down' and 'meshd up --no-relay' end it"
  }

  /// The relays of the records in force.
  func relays() async -> JSONValue {
    let (relays, nodes) = await control.relayRecords()
    return ["relays": .array(relays.map { json($0, nodes: nodes) })]
  }

  private func published(_ change: LedgerChange, _ result: JSONObject) async throws -> JSONValue {
    var result = result
    result["network"] = .string(network.name)
    try await addPublication(of: change, to: &result)
    return .object(result)
  }

  private func json(_ relay: RelayRecord, nodes: [ControlStatus.Node]) -> JSONValue {
    guard case .object(var object) = relay.json else { return .null }
    object["node"] = nodes.first { $0.did == relay.nodeDID }.map { .string($0.name) }
    return .object(object)
  }
}
