import Logging
import Netmap
import Traversal
import Wire

/// Ports that a gateway maps to this machine: the engine's own, and those that the configuration names.
extension Engine {
  /// Speaks with the gateway that the host has now; mappings of another one are given back.
  func followGateway(_ host: HostNetwork) {
    guard pathfinding != nil else { return }
    let current = host.gateway
    if let link = gatewayLink {
      guard current?.ip != link.gateway || current?.host != link.host else { return }
      perform(link.mapper.release(), of: link)
      leaveGateway()
    }
    guard let current, let link = GatewayLink(gateway: current.ip, host: current.host) else { return }
    gatewayLink = link
    watch(link.descriptor) { $0.gatewayAnswered() }
    perform(link.mapper.want([ownPort] + configuration.mappedPorts, at: .now(), random), of: link)
  }

  private var ownPort: PortMapping.Port { PortMapping.Port(.udp, port) }

  /// Gives everything back, and waits until the gateway has heard of it, but not for long.
  func endPortMapping() async {
    guard let link = gatewayLink else { return }
    leaveGateway()
    for action in link.mapper.release() {
      switch action {
      case .send(let bytes, let address): link.send(bytes, to: address)
      case .http(let request):
        let gateway = link.gateway
        await withCheckedContinuation { done in
          let didStart = onDetachedThread {
            _ = GatewayHTTP.exchange(request, with: gateway)
            done.resume()
          }
          if !didStart { done.resume() }
        }
      case .changed: break
      }
    }
  }

  private func leaveGateway() {
    guard let link = gatewayLink else { return }
    unwatch(link.descriptor)
    gatewayLink = nil
  }

  func advancePortMapping(_ now: Instant) {
    guard let link = gatewayLink, let due = link.mapper.deadline, due <= now else { return }
    perform(link.mapper.advance(at: now, random), of: link)
  }

  /// Somebody sees this machine there. Where the gateway maps ports at another address, that one may be the former.
  func sighted(at address: SocketAddress) {
    guard let pathfinding, pathfinding.check.isElsewhere(address), let link = gatewayLink,
      link.mapper.mappings.contains(where: { $0.external.ip != address.ip })
    else { return }
    perform(link.mapper.doubtAddress(at: .now(), random), of: link)
  }

  private func gatewayAnswered() {
    guard let link = gatewayLink else { return }
    for (bytes, source) in link.receive() {
      perform(link.mapper.receive(bytes, from: source, at: .now(), random), of: link)
    }
    settle()
  }

  private func perform(_ actions: [PortMapper.Action], of link: GatewayLink) {
    for action in actions {
      switch action {
      case .send(let bytes, let address): link.send(bytes, to: address)
      case .http(let request): ask(request, link)
      case .changed(let mappings): mapped(mappings)
      }
    }
  }

  private func ask(_ request: PortMapper.HTTPRequest, _ link: GatewayLink) {
    let (gateway, asker) = (link.gateway, link.asker)
    let didStart = onDetachedThread { [weak self] in
      let body = GatewayHTTP.exchange(request, with: gateway)
      Task { await self?.answered(request.id, body, to: asker) }
    }
    if !didStart { logger.warning("no thread to ask the gateway") }
  }

  /// What a former link asked is not answered to this one: each counts its requests from one, and both may be of one gateway.
  func answered(_ id: UInt64, _ body: [UInt8]?, to asker: GatewayLink.Asker) {
    guard let link = gatewayLink, link.asker === asker else { return }
    perform(link.mapper.answered(id, body, at: .now(), random), of: link)
    settle()
  }

  private func mapped(_ mappings: [PortMapping]) {
    for mapping in mappings.news(since: gatewayMappings) {
      logger.info(
        "the gateway maps a port",
        metadata: [
          "port": "\(mapping.port.transport) \(mapping.port.number)", "address": "\(mapping.external)",
          "by": "\(mapping.service.rawValue)",
        ])
    }
    gatewayMappings = mappings
    // Behind another NAT nobody outside gets to what this one maps.
    let reachable = mappings.filter { !$0.external.ip.isPrivate }
    mappedEndpoints = reachable.filter { $0.port == ownPort }.map { Reach.Endpoint($0.external, $0.source) }
    let external = Dictionary(reachable.map { ($0.port, $0.external) }, uniquingKeysWith: { first, _ in first })
    for port in configuration.mappedPorts where mappedPorts[port] != external[port] {
      announce.yield(.portMapped(port, external[port]))
    }
    mappedPorts = external
    updateReach(.now())
  }
}

extension PortMapping {
  fileprivate var source: Reach.Endpoint.Source {
    switch service {
    case .natPMP: .natPMP
    case .pcp: .pcp
    case .upnp: .upnp
    }
  }
}
