import Mesh
import Netmap
import Wire

/// What this machine's endpoint record says, but for the time of writing (`reach.md` section 4).
struct OwnEndpoint: Hashable, Sendable {
  private let record: EndpointRecord

  /// What is so: cannot-be endpoints left out, each address once, within the limits of a record.
  ///
  /// The order is that of use: mapped, seen from outside, fixed, global IPv6, other global addresses, then private ones; within each
  /// kind as they are given. Only the host's own private addresses are *local*: what others see or a gateway maps is told as public,
  /// also where the whole mesh is within one private network.
  init(_ reach: Reach, relay: RelayOffer? = nil, meshPrefixes: [IPPrefix], envelope: Envelope = .jwe) {
    let hygiene = EndpointHygiene(meshPrefixes: meshPrefixes)
    var seen: Set<SocketAddress> = []
    let usable = reach.endpoints.enumerated().compactMap { index, endpoint in
      hygiene.checked(endpoint.address).map { (index, Reach.Endpoint($0, endpoint.source)) }
    }
    let ordered = usable.sorted { (Self.rank($0.1), $0.0) < (Self.rank($1.1), $1.0) }.map(\.1)
      .filter { seen.insert($0.address).inserted }
    let pinned = envelope.registersRelays ? nil : reach.homeRelay.flatMap { RelayPin.isPin($0) ? $0 : nil }
    record = EndpointRecord(
      publicEndpoints: ordered.filter { !Self.isLocal($0) }.map { .init($0.address, source: Self.source($0.source)) },
      localEndpoints: ordered.filter(Self.isLocal).map(\.address),
      natType: reach.natMapping.map(Self.natType) ?? .unknown, discoKey: reach.discoKey,
      preferredDERP: pinned == nil ? reach.homeRelay : nil, standbyDERP: reach.standbyRelay, homeRelay: pinned,
      relay: relay, updatedAt: Self.noTime
    ).bounded()
  }

  /// What is published.
  init(_ published: EndpointRecord) {
    var record = published
    record.updatedAt = Self.noTime
    for index in record.publicEndpoints.indices { record.publicEndpoints[index].priority = nil }
    self.record = record
  }

  /// There is nothing to tell anybody.
  var isEmpty: Bool {
    record.publicEndpoints.isEmpty && record.localEndpoints.isEmpty && record.discoKey == nil && record.relay == nil
      && record.preferredDERP == nil && record.homeRelay == nil
  }

  /// What is written.
  func record(updatedAt: WallTime) -> EndpointRecord {
    var result = record
    result.updatedAt = updatedAt
    return result
  }

  /// How much of a record is not so any more.
  enum Difference: Hashable, Sendable {
    /// It says the same, in whatever order.
    case none
    /// Only ports at which others see this machine: those that it talks to are told by calls, too.
    case stunPorts
    case more
  }

  func difference(from published: OwnEndpoint) -> Difference {
    if content(portsOfSTUN: true) == published.content(portsOfSTUN: true) { return .none }
    return content(portsOfSTUN: false) == published.content(portsOfSTUN: false) ? .stunPorts : .more
  }

  private struct Content: Hashable {
    var publicEndpoints: Set<EndpointRecord.PublicEndpoint>
    var localEndpoints: Set<SocketAddress>
    /// Everything else.
    var rest: EndpointRecord
  }

  private func content(portsOfSTUN: Bool) -> Content {
    var rest = record
    rest.publicEndpoints = []
    rest.localEndpoints = []
    let told = record.publicEndpoints.map { endpoint in
      guard endpoint.source == .stun, !portsOfSTUN else { return endpoint }
      return .init(SocketAddress(endpoint.address.ip, port: 0), source: .stun)
    }
    return Content(publicEndpoints: Set(told), localEndpoints: Set(record.localEndpoints), rest: rest)
  }

  /// As long as any time is in a record, so that what fits with it fits with every other.
  private static let noTime = WallTime(microseconds: 999_999)

  private static func isLocal(_ endpoint: Reach.Endpoint) -> Bool {
    endpoint.source == .host && endpoint.address.ip.isPrivate
  }

  private static func rank(_ endpoint: Reach.Endpoint) -> Int {
    switch endpoint.source {
    case .natPMP, .pcp, .upnp: 0
    case .stun: 1
    case .fixed: 2
    case .host: isLocal(endpoint) ? 5 : endpoint.address.ip.family == .v6 ? 3 : 4
    }
  }

  private static func source(_ source: Reach.Endpoint.Source) -> EndpointRecord.PublicEndpoint.Source {
    switch source {
    case .natPMP: .natpmp
    case .pcp: .pcp
    case .upnp: .upnp
    case .stun: .stun
    case .fixed: .fixed
    case .host: .local
    }
  }

  private static func natType(_ mapping: NATMapping) -> EndpointRecord.NATType {
    switch mapping {
    case .endpointIndependent: .endpointIndependent
    case .endpointDependent: .endpointDependent
    }
  }
}
