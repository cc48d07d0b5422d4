public import Wire

// Whether what was mapped is still where it was: providers give routers other addresses, and a router that restarts forgets.

extension PortMapper {
  /// The router is asked where it is so often, as long as it maps anything.
  static let lookInterval: Duration = .seconds(300)
  /// Whoever doubts it, not more often.
  static let leastLookInterval: Duration = .seconds(10)

  /// Somebody sees this machine at another address than before: the router is asked for its own soon.
  public mutating func doubtAddress(at now: Instant, _ random: some RandomSource) -> [Action] {
    isAddressDoubted = true
    return advance(at: now, random)
  }

  /// When the router is asked next where it is; `nil`: it maps nothing.
  var nextLookAt: Instant? {
    guard let lastLookAt, wanted.values.contains(where: { $0.mapping != nil }) else { return nil }
    return lastLookAt + (isAddressDoubted ? Self.leastLookInterval : Self.lookInterval)
  }

  /// Asks whoever mapped something. With PCP only the answer to a renewal tells the address.
  mutating func look(_ now: Instant, _ actions: inout [Action]) {
    lastLookAt = now
    renewsUPnP = !isAddressDoubted
    isAddressDoubted = false
    let mapping = Set(wanted.values.compactMap { $0.mapping?.service })
    if mapping.contains(.natPMP) {
      actions.append(.send(NATPMP.addressRequest, to: SocketAddress(gateway, port: NATPMP.port)))
    }
    if mapping.contains(.pcp) { renew(.pcp, now) }
    asksUPnPForAddress = mapping.contains(.upnp)
  }

  /// Everything that a service maps is asked for again.
  mutating func renew(_ service: PortMapping.Service, _ now: Instant) {
    for (port, entry) in wanted where entry.mapping?.service == service && entry.attempt == nil {
      wanted[port]?.nextAt = now
    }
  }

  /// The router is at this address: what the service maps is there, too.
  mutating func moved(_ service: PortMapping.Service, to address: IPAddress) {
    for (port, entry) in wanted where entry.mapping?.service == service {
      wanted[port]?.mapping?.external.ip = address
    }
  }
}
