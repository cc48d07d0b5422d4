public import Wire

// What routers say, and what becomes of it.

extension PortMapper {
  /// Takes a datagram from the socket that the requests were sent from. Only the gateway's count.
  public mutating func receive(
    _ datagram: [UInt8], from source: SocketAddress, at now: Instant, _ random: some RandomSource
  ) -> [Action] {
    guard source.ip.unmapped == gateway else { return [] }
    if source.port == NATPMP.port {
      if let response = NATPMP.Response(datagram) {
        search?.heard.insert(.natPMP)
        take(response, now)
      } else if let response = PCP.Response(datagram) {
        search?.heard.insert(.pcp)
        take(response, now)
      } else {
        search?.hadNonsense = true
      }
    } else if search != nil, let answer = SSDP.Answer(datagram) {
      hear(answer, now)
    }
    return advance(at: now, random)
  }

  private mutating func take(_ response: NATPMP.Response, _ now: Instant) {
    switch response {
    case .address(let address, let epoch):
      note(.natPMP, epoch, now)
      externalByNATPMP = PortMapping.isUsable(address) ? address : nil
      guard let externalByNATPMP else { return }
      services.insert(.natPMP)
      moved(.natPMP, to: externalByNATPMP)
    case .mapped(let port, let external, let lifetime, let epoch):
      note(.natPMP, epoch, now)
      guard wanted[port]?.attempt?.service == .natPMP, external > 0, lifetime > 0, let ip = externalByNATPMP else {
        return
      }
      keep(port, external: SocketAddress(ip, port: external), .natPMP, lifetime: lifetime, now)
    case .refused(let opcode, let result):
      refused(.natPMP, Int(result))
      for port in wanted.keys
      where wanted[port]?.attempt?.service == .natPMP && opcode == (port.transport == .udp ? 1 : 2) {
        tryNext(port, after: .natPMP, now)
      }
    }
  }

  private mutating func take(_ response: PCP.Response, _ now: Instant) {
    switch response {
    case .announced(let epoch):
      note(.pcp, epoch, now)
      services.insert(.pcp)
    case .mapped(let port, let nonce, let external, let lifetime, let epoch):
      guard let entry = wanted[port], entry.nonce == nonce else { return }
      note(.pcp, epoch, now)
      guard wanted[port]?.attempt?.service == .pcp, external.port > 0, lifetime > 0, PortMapping.isUsable(external.ip)
      else { return }
      keep(port, external: external, .pcp, lifetime: lifetime, now)
    case .refused(let opcode, let result):
      refused(.pcp, Int(result))
      guard opcode == 1 else { return }
      for port in wanted.keys where wanted[port]?.attempt?.service == .pcp { tryNext(port, after: .pcp, now) }
    }
  }

  /// Worth telling a person, unless it only says that the router speaks the other of the two protocols that share a port.
  private mutating func refused(_ service: PortMapping.Service, _ code: Int) {
    if service != .upnp, code == Self.otherVersion {
      search?.heard.remove(service)
    } else {
      refusal = Refusal(service: service, code: code)
    }
  }

  /// A router whose clock of states went back has lost them: its mappings are asked for again at once, and where it is. One that says so
  /// all the time is not heeded more often than a router can start again.
  private mutating func note(_ service: PortMapping.Service, _ epoch: UInt32, _ now: Instant) {
    if let last = epochs[service], epoch < last, resets[service].map({ now - $0 >= Self.leastUptime }) ?? true {
      resets[service] = now
      isAddressDoubted = true
      for (port, entry) in wanted where entry.mapping?.service == service {
        wanted[port]?.lastExternal = entry.mapping?.external.port ?? 0
        wanted[port]?.mapping = nil
        if wanted[port]?.attempt == nil { wanted[port]?.attempt = Attempt(service: service, nextAt: now) }
      }
    }
    epochs[service] = epoch
  }

  // MARK: - Looking for services

  private mutating func hear(_ answer: SSDP.Answer, _ now: Instant) {
    guard let count = search?.answers.count, count < SSDP.maximumAnswers else { return }
    search?.answers.append(answer)
    if search?.firstAnswer == nil { search?.firstAnswer = now }
  }

  func searchDeadline(_ search: Search) -> Instant {
    if search.sent < 2 { return search.begin + Self.answerTime * search.sent / 2 }
    if let first = search.firstAnswer { return max(first + Self.gatheringTime, search.begin + Self.answerTime) }
    return search.begin + (services.isEmpty ? Self.searchTime : Self.answerTime)
  }

  /// Everybody is asked twice. Who speaks NAT-PMP or PCP answers soon; only a router that knows UPnP alone is waited for.
  mutating func advanceSearch(_ now: Instant, _ random: some RandomSource, _ actions: inout [Action]) {
    while let current = search, current.sent < 2, searchDeadline(current) <= now {
      search?.sent += 1
      let target = SocketAddress(gateway, port: NATPMP.port)
      if !services.contains(.natPMP) { actions.append(.send(NATPMP.addressRequest, to: target)) }
      if !services.contains(.pcp) { actions.append(.send(PCP.announce(from: host), to: target)) }
      for (bytes, group) in SSDP.searches(for: gateway) { actions.append(.send(bytes, to: group)) }
    }
    guard let current = search, current.sent == 2, searchDeadline(current) <= now else { return }
    search = nil
    answering = services.union(current.heard)
    talksNonsense = current.hadNonsense
    if let found = GatewayFinder(current.answers) {
      finder = found
      services.insert(.upnp)
      answering.insert(.upnp)
    }
    for port in wanted.keys where wanted[port]?.attempt == nil && (wanted[port]?.nextAt ?? now) <= now {
      tryNext(port, after: nil, now)
    }
  }

  // MARK: - HTTP

  mutating func take(
    _ body: [UInt8]?, from purpose: HTTPPurpose, _ now: Instant, _ random: some RandomSource,
    _ actions: inout [Action]
  ) {
    http = nil
    switch purpose {
    case .finding:
      finder?.take(body)
      guard let result = finder?.result else { return }
      finder = nil
      gatewayService = result
      guard result == nil else { return }
      services.remove(.upnp)
      for port in wanted.keys where wanted[port]?.attempt?.service == .upnp { tryNext(port, after: .upnp, now) }
    case .looking:
      // Who does not answer there may have begun anew elsewhere: a renewal finds out.
      guard let body else { return renew(.upnp, now) }
      guard let address = GatewayControl.externalAddress(in: body) else { return }
      let isElsewhere = address != gatewayService?.external
      gatewayService?.external = address
      moved(.upnp, to: address)
      // It does not say whether it has restarted and forgotten them.
      if isElsewhere || renewsUPnP { renew(.upnp, now) }
    case .adding(let port):
      guard let found = gatewayService, let attempt = wanted[port]?.attempt, attempt.service == .upnp else { return }
      let action = found.control.service.choosesPort ? "AddAnyPortMapping" : "AddPortMapping"
      switch GatewayControl.answer(body ?? [], to: action) {
      case .done(let arguments):
        let external = arguments["NewReservedPort"].flatMap { UInt16($0) } ?? attempt.external
        guard external > 0 else { return tryNext(port, after: .upnp, now) }
        keep(
          port, external: SocketAddress(found.external, port: external), .upnp,
          lifetime: attempt.lease == 0 ? PortMapping.lifetime : attempt.lease, now)
      case .refused(GatewayControl.onlyPermanentLeases), .refused(GatewayControl.invalidArguments):
        // Permanent then, and taken back when it is not wanted any more.
        if attempt.lease == 0 { tryNext(port, after: .upnp, now) } else { wanted[port]?.attempt?.lease = 0 }
      case .refused(GatewayControl.conflict): break
      case .refused(let code):
        refused(.upnp, code)
        tryNext(port, after: .upnp, now)
      case .nonsense: tryNext(port, after: .upnp, now)
      }
    }
  }
}
