import Engine
import Mesh
import Traversal
import Wire

/// Where others reach what this machine runs for them, its node and its relay: by what a person said, what gateways map here, and the
/// addresses of today.
struct Advertising: Sendable {
  private let settings: DaemonSettings
  /// Where the node listens; empty: there is none.
  private let node: [SocketAddress]
  private let relay: MeshRelay?
  private var mapped: [PortMapping.Port: SocketAddress] = [:]

  init(_ settings: DaemonSettings, node: [SocketAddress], relay: MeshRelay?) {
    self.settings = settings
    self.node = node
    self.relay = relay
  }

  /// A gateway maps the port now, or no more.
  mutating func map(_ port: PortMapping.Port, to address: SocketAddress?) { mapped[port] = address }

  /// What gateways shall map: where node and relay listen, and where STUN is answered beside them.
  var ports: [PortMapping.Port] {
    let reachable = (node + (relay?.listeners ?? [])).filter { !$0.ip.isLoopback }
    guard !reachable.isEmpty else { return [] }
    return Set(reachable.map(\.port)).sorted().map { PortMapping.Port(.tcp, $0) }
      + (relay?.stunPorts ?? []).map { PortMapping.Port(.udp, $0) }
  }

  /// URLs of the node, and behind them its replicas'. Empty as long as nobody could use any.
  ///
  /// - Parameter former: those of the node when it had an address last; they stand as long as it has none, as early after a boot.
  func nodeURLs(excluding blocks: [IPPrefix], former: [String] = [], replicas: [String] = []) -> [String] {
    let own = NodeURLs.advertised(settings.advertise, found: found(of: node, excluding: blocks))
    return NodeURLs.named(own.isEmpty ? former : own, replicas: replicas)
  }

  /// The anchor's record of the relay. `nil`: there is none, or nobody could reach it.
  func relayPlan(excluding blocks: [IPPrefix]) -> RelayPlan? {
    relay?.plan(urls: relayURLs(excluding: blocks), mapped: mapped, region: MeshSession.hostname)
  }

  /// What this machine says of the relay where others write the records.
  func relayOffer(excluding blocks: [IPPrefix]) -> RelayOffer? {
    relay?.offer(urls: relayURLs(excluding: blocks), mapped: mapped)
  }

  private func relayURLs(excluding blocks: [IPPrefix]) -> [String] {
    let wanted =
      node.isEmpty
      ? settings.relay.advertise.compactMap {
        RelayPlace.url($0, defaultPort: relay?.listeners.first?.port ?? RelaySettings.defaultPort)
      } : settings.advertise
    return Self.relayURLs(
      wanted, found: found(of: node.isEmpty ? relay?.listeners ?? [] : node, excluding: blocks))
  }

  /// A relay is in one place: the one that was asked for, unless another server stands there. A name stands for both families; beside
  /// an address, what was found gives the other one, if it is an address for everybody.
  static func relayURLs(_ wanted: [String], found: [String]) -> [String] {
    guard let place = RelayPlace(urls: wanted) else { return found }
    guard case .address = place.host else { return wanted }
    return wanted + found.filter { !NodeURLs.areAllPrivate([$0]) }
  }

  private func found(of listeners: [SocketAddress], excluding blocks: [IPPrefix]) -> [String] {
    NodeURLs.found(
      listeners: listeners, mapped: listeners.compactMap { mapped[PortMapping.Port(.tcp, $0.port)] },
      hostAddresses: HostAddresses.reachable(excluding: blocks))
  }
}
