public import Wire

/// Has a router pass ports on to this machine, for as long as they are wanted (`traversal.md` 16, `reach.md` 6). Without I/O: it says
/// what to send and when it wants to be called, and is told what came.
///
/// NAT-PMP is asked first, then PCP, then UPnP, of those that answer. What was granted is renewed at half its time, and looked after
/// in between: a router may get another address outside, or begin anew. A router that refuses, is silent or talks nonsense is asked
/// again after a while that doubles; whatever it sends, nothing here grows.
public struct PortMapper: Sendable {
  public enum Action: Hashable, Sendable {
    /// By UDP.
    case send([UInt8], to: SocketAddress)
    /// To the gateway, over HTTP without redirects; the body of a 200 or 500 answer goes to `answered`, at most
    /// `largestAnswer` bytes, or `nil` if there is none in a second.
    case http(HTTPRequest)
    /// These are the mappings from now on.
    case changed([PortMapping])
  }

  public struct HTTPRequest: Hashable, Sendable {
    public var id: UInt64
    public var port: UInt16
    public var path: String
    /// With it, a POST of the body; without, a GET.
    public var soapAction: String?
    public var body: [UInt8]
  }

  /// In bytes.
  public static let largestAnswer = XMLNode.maximumSize
  static let answerTime: Duration = .milliseconds(250)
  static let tries = 3
  /// As long may a router wait before it answers a search.
  static let searchTime: Duration = .milliseconds(2500)
  /// After the first answer to a search others may come.
  static let gatheringTime: Duration = .milliseconds(50)
  static let httpTime: Duration = .seconds(3)
  static let firstPause: Duration = .seconds(60)
  static let longestPause: Duration = .seconds(600)
  /// Between two restarts of a router that are believed.
  static let leastUptime: Duration = .seconds(10)
  static let maximumPorts = 8
  /// NAT-PMP's and PCP's number for a version that the router does not speak.
  static let otherVersion = 1

  /// One wanted port.
  struct Wanted {
    var nonce: [UInt8]
    var mapping: PortMapping?
    var attempt: Attempt?
    /// When it is asked for, again or for the first time.
    var nextAt: Instant
    var pause = PortMapper.firstPause
    /// External port of a mapping that ended, to be asked for again.
    var lastExternal: UInt16 = 0
  }

  /// One service being asked for one port.
  struct Attempt {
    var service: PortMapping.Service
    var tries = 0
    var nextAt: Instant
    /// UPnP alone: what it was asked for.
    var external: UInt16 = 0
    var lease: UInt32 = PortMapping.lifetime
  }

  enum HTTPPurpose {
    case finding
    /// For the router's address outside.
    case looking
    case adding(PortMapping.Port)
  }

  let gateway: IPAddress
  let host: IPAddress
  var wanted: [PortMapping.Port: Wanted] = [:]
  /// Services that answered the last time that somebody was looked for: whatever they said.
  public internal(set) var answering: Set<PortMapping.Service> = []
  /// The last one since a port was mapped.
  var refusal: Refusal?
  /// When somebody was last looked for, what came made no sense.
  var talksNonsense = false
  /// Those that are asked for mappings.
  var services: Set<PortMapping.Service> = []
  var externalByNATPMP: IPAddress?
  var epochs: [PortMapping.Service: UInt32] = [:]
  /// When a service was last believed to have lost its mappings.
  var resets: [PortMapping.Service: Instant] = [:]
  var search: Search?
  var finder: GatewayFinder?
  var gatewayService: GatewayFinder.Found?
  var http: (id: UInt64, purpose: HTTPPurpose, until: Instant)?
  /// When the router was last asked where it is, in so many words or by a first mapping.
  var lastLookAt: Instant?
  /// It may be elsewhere now.
  var isAddressDoubted = false
  /// UPnP's service is to be asked for its address.
  var asksUPnPForAddress = false
  /// What UPnP maps is asked for again after that, wherever it is: it may have forgotten it.
  var renewsUPnP = false
  private var nextID: UInt64 = 0
  private var shown: [PortMapping] = []

  /// A look for services.
  struct Search {
    var begin: Instant
    var sent = 0
    var firstAnswer: Instant?
    var answers: [SSDP.Answer] = []
    /// Who said anything.
    var heard: Set<PortMapping.Service> = []
    var hadNonsense = false
  }

  /// `nil` unless the gateway is at a private IPv4 address: no other router maps ports for its neighbours.
  public init?(gateway: IPAddress, host: IPAddress) {
    guard gateway.family == .v4, host.family == .v4, gateway.isPrivate else { return nil }
    self.gateway = gateway
    self.host = host
  }

  /// What others can connect to now.
  public var mappings: [PortMapping] {
    wanted.values.compactMap(\.mapping).sorted {
      ($0.port.number, $0.port.transport.rawValue) < ($1.port.number, $1.port.transport.rawValue)
    }
  }

  /// From now on these ports are wanted; what is not among them is given back. At most eight.
  public mutating func want(_ ports: [PortMapping.Port], at now: Instant, _ random: some RandomSource) -> [Action] {
    let ports = ports.prefix(Self.maximumPorts)
    var actions: [Action] = []
    for port in wanted.keys where !ports.contains(port) {
      giveBack(port, &actions)
      wanted[port] = nil
    }
    for port in ports where wanted[port] == nil {
      wanted[port] = Wanted(nonce: random.bytes(12), nextAt: now)
    }
    return actions + advance(at: now, random)
  }

  /// Gives everything back. The requests are sent once; a router that misses them lets the mappings run out.
  public mutating func release() -> [Action] {
    var actions: [Action] = []
    for port in wanted.keys { giveBack(port, &actions) }
    wanted = [:]
    search = nil
    finder = nil
    http = nil
    asksUPnPForAddress = false
    tell(&actions)
    return actions
  }

  /// When `advance` wants to be called; `nil`: nothing is wanted.
  public var deadline: Instant? {
    var times: [Instant] = []
    for entry in wanted.values {
      if let attempt = entry.attempt {
        if attempt.service != .upnp { times.append(attempt.nextAt) }
      } else if search == nil {
        times.append(entry.nextAt)
      }
      if let mapping = entry.mapping { times.append(mapping.expires) }
    }
    if let search { times.append(searchDeadline(search)) }
    if let http { times.append(http.until) }
    if let nextLookAt { times.append(nextLookAt) }
    return times.min()
  }

  /// Does what is due.
  public mutating func advance(at now: Instant, _ random: some RandomSource) -> [Action] {
    var actions: [Action] = []
    if let http, now >= http.until { take(nil, from: http.purpose, now, random, &actions) }
    if let due = nextLookAt, due <= now { look(now, &actions) }
    for (port, entry) in wanted {
      if let mapping = entry.mapping, now >= mapping.expires {
        wanted[port]?.lastExternal = mapping.external.port
        wanted[port]?.mapping = nil
      }
      if entry.attempt == nil, entry.nextAt <= now { begin(port, now, random, &actions) }
    }
    advanceSearch(now, random, &actions)
    for (port, entry) in wanted {
      if let attempt = entry.attempt, attempt.service != .upnp, attempt.nextAt <= now {
        ask(port, now, random, &actions)
      }
    }
    askOverHTTP(now, random, &actions)
    tell(&actions)
    return actions
  }

  /// Takes the body of the answer to an HTTP request; `nil`: there was none.
  public mutating func answered(
    _ id: UInt64, _ body: [UInt8]?, at now: Instant, _ random: some RandomSource
  ) -> [Action] {
    guard let http, http.id == id else { return [] }
    var actions: [Action] = []
    take(body.flatMap { $0.count <= Self.largestAnswer ? $0 : nil }, from: http.purpose, now, random, &actions)
    return actions + advance(at: now, random)
  }

  // MARK: - Asking for a port

  /// Starts with the first service that is known to answer, or looks for one.
  private mutating func begin(
    _ port: PortMapping.Port, _ now: Instant, _ random: some RandomSource, _ actions: inout [Action]
  ) {
    guard search == nil else { return }
    // Whoever holds a mapping is asked to renew it; else everybody is looked for anew.
    if let service = wanted[port]?.mapping?.service, services.contains(service) {
      wanted[port]?.attempt = Attempt(service: service, nextAt: now)
    } else {
      search = Search(begin: now)
    }
  }

  /// The next service, or a pause when there is none.
  mutating func tryNext(_ port: PortMapping.Port, after service: PortMapping.Service?, _ now: Instant) {
    let order: [PortMapping.Service] = [.natPMP, .pcp, .upnp]
    let rest = service.flatMap { order.firstIndex(of: $0) }.map { order[($0 + 1)...] } ?? order[...]
    if let next = rest.first(where: services.contains) {
      wanted[port]?.attempt = Attempt(service: next, nextAt: now)
    } else if let entry = wanted[port] {
      wanted[port]?.attempt = nil
      wanted[port]?.nextAt = now + entry.pause
      wanted[port]?.pause = min(entry.pause * 2, Self.longestPause)
      // What failed is looked for anew, once it is not in the middle of serving another port.
      guard !wanted.values.contains(where: { $0.attempt != nil }) else { return }
      services = []
      finder = nil
      gatewayService = nil
    }
  }

  /// Sends the request of a UDP service once more, or gives it up.
  private mutating func ask(
    _ port: PortMapping.Port, _ now: Instant, _ random: some RandomSource, _ actions: inout [Action]
  ) {
    guard let entry = wanted[port], let attempt = entry.attempt else { return }
    guard attempt.tries < Self.tries else { return tryNext(port, after: attempt.service, now) }
    wanted[port]?.attempt?.tries += 1
    wanted[port]?.attempt?.nextAt = now + Self.answerTime
    let external = entry.mapping?.external.port ?? entry.lastExternal
    let bytes =
      attempt.service == .pcp
      ? PCP.mapRequest(
        port, wanting: external, lifetime: PortMapping.lifetime, nonce: entry.nonce, from: host)
      : NATPMP.mapRequest(port, wanting: external, lifetime: PortMapping.lifetime)
    actions.append(.send(bytes, to: SocketAddress(gateway, port: NATPMP.port)))
  }

  /// Keeps what was granted, and renews it at half its time.
  mutating func keep(
    _ port: PortMapping.Port, external: SocketAddress, _ service: PortMapping.Service, lifetime: UInt32, _ now: Instant
  ) {
    let granted = Duration.seconds(Int64(min(max(lifetime, 60), 86_400)))
    wanted[port]?.mapping = PortMapping(
      port: port, external: external, service: service, expires: now + granted)
    wanted[port]?.attempt = nil
    refusal = nil
    lastLookAt = lastLookAt ?? now
    wanted[port]?.nextAt = now + granted / 2
    wanted[port]?.pause = Self.firstPause
  }

  private mutating func giveBack(_ port: PortMapping.Port, _ actions: inout [Action]) {
    guard let entry = wanted[port], let mapping = entry.mapping else { return }
    let target = SocketAddress(gateway, port: NATPMP.port)
    switch mapping.service {
    case .natPMP: actions.append(.send(NATPMP.mapRequest(port, wanting: 0, lifetime: 0), to: target))
    case .pcp:
      let bytes = PCP.mapRequest(port, wanting: 0, lifetime: 0, nonce: entry.nonce, from: host)
      actions.append(.send(bytes, to: target))
    case .upnp:
      guard let found = gatewayService else { return }
      let call = found.control.delete(external: mapping.external.port, port.transport)
      actions.append(request(found.port, found.control.service.path, call))
    }
  }

  private mutating func tell(_ actions: inout [Action]) {
    let current = mappings
    guard current != shown else { return }
    shown = current
    actions.append(.changed(current))
  }

  // MARK: - HTTP

  /// One request at a time: where the router is, what finds the service, then what it is asked for.
  private mutating func askOverHTTP(_ now: Instant, _ random: some RandomSource, _ actions: inout [Action]) {
    guard http == nil else { return }
    if asksUPnPForAddress, let found = gatewayService {
      asksUPnPForAddress = false
      let action = request(found.port, found.control.service.path, found.control.externalAddress())
      http = (nextID, .looking, now + Self.httpTime)
      return actions.append(action)
    }
    while let (port, entry) = wanted.first(where: { $0.value.attempt?.service == .upnp }), let attempt = entry.attempt {
      if let question = finder?.question {
        let action = request(question.port, question.path, question.call)
        http = (nextID, .finding, now + Self.httpTime)
        return actions.append(action)
      }
      guard let found = gatewayService, attempt.tries < Self.tries else {
        // The others have their turns.
        tryNext(port, after: .upnp, now)
        continue
      }
      let known = entry.mapping?.external.port ?? entry.lastExternal
      // Never this machine's own number at first: some routers take it from a neighbour that has it.
      let external = attempt.tries == 0 && known > 0 ? known : UInt16(1024 + random.uniform(below: 65536 - 1024))
      wanted[port]?.attempt?.tries += 1
      wanted[port]?.attempt?.external = external
      let call = found.control.add(port, external: external, to: host, lease: attempt.lease)
      let action = request(found.port, found.control.service.path, call)
      http = (nextID, .adding(port), now + Self.httpTime)
      return actions.append(action)
    }
  }

  private mutating func request(_ port: UInt16, _ path: String, _ call: GatewayControl.Call?) -> Action {
    nextID += 1
    return .http(HTTPRequest(id: nextID, port: port, path: path, soapAction: call?.action, body: call?.body ?? []))
  }
}
