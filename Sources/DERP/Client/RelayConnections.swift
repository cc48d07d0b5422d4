public import Cryptography
public import Logging
public import NIOCore
public import Netmap
import Synchronization
import Wire

/// The relays of a network as one client uses them: home and standby are kept connected, others are connected with when something
/// has to go there, and left when nothing does (`reach.md`, 2).
public actor RelayConnections {
  public enum Event: Hashable, Sendable {
    case connected(relay: UInt16)
    case disconnected(relay: UInt16, reason: String)
    /// What a relay says is wrong; `nil`: nothing any more.
    case health(relay: UInt16, String?)
  }

  /// How a relay is doing, for people.
  public struct Status: Hashable, Sendable {
    public var id: UInt16
    public var isConnected: Bool
    /// Why it is not, when it was tried.
    public var error: String?
  }

  /// Without a packet for so long a relay is left that is neither home nor standby.
  private static let idleTimeout: Duration = .seconds(60)
  private static let longestPause: Duration = .seconds(5)
  /// Between trying one relay and the next for a peer of which none is known.
  private static let searchInterval: Duration = .milliseconds(250)
  /// Packets that wait for a connection that is being made.
  private static let maximumWaiting = 32
  private static let maximumOrigins = 10_000

  private final class Line {
    var relay: Relay
    var link: RelayLink?
    var task: Task<Void, Never>?
    var pause: Duration = .milliseconds(100)
    var error: String?
    var waiting: [WaitingPacket] = []

    init(_ relay: Relay) {
      self.relay = relay
    }
  }

  /// One consumer; the newest are kept if it does not keep up.
  public nonisolated let events: AsyncStream<Event>
  private nonisolated let announce: AsyncStream<Event>.Continuation
  private let nodeKey: X25519PrivateKey
  private let logger: Logger
  private let random: any RandomSource
  private nonisolated let receive: @Sendable (ByteBuffer, X25519PublicKey, UInt16) -> Void
  private var lines: [UInt16: Line] = [:]
  private var home: UInt16?
  private var standby: UInt16?
  /// Where a peer was last heard from.
  private nonisolated let origins = Mutex<[X25519PublicKey: UInt16]>([:])
  private var searchedAt: [X25519PublicKey: (at: Instant, next: Int)] = [:]
  private var sweep: Task<Void, Never>?
  private var isClosed = false

  /// - Parameter receive: takes packets: their bytes, who sent them, and the relay's id. It is called on event loops, for the
  ///   packets of one relay in their order, and must not wait.
  public init(
    nodeKey: X25519PrivateKey, logger: Logger = Logger(label: "meshd.relay"),
    receive: @escaping @Sendable (_ packet: ByteBuffer, _ source: X25519PublicKey, _ relay: UInt16) -> Void
  ) {
    self.receive = receive
    self.nodeKey = nodeKey
    self.logger = logger
    random = SystemRandom()
    (events, announce) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(4096))
  }

  // MARK: Which relays there are

  /// Makes these the relays. A connection to one that changed is made anew.
  public func setRelays(_ relays: [Relay]) {
    guard !isClosed else { return }
    let wanted = Dictionary(relays.filter(\.relaysTraffic).map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
    for (id, line) in lines where wanted[id] != line.relay { drop(id, line, "its record changed") }
    for (id, relay) in wanted where lines[id] == nil { lines[id] = Line(relay) }
    keepHome()
  }

  /// The two that are kept connected.
  public func setHome(_ home: UInt16?, standby: UInt16?) {
    guard home != self.home || standby != self.standby else { return }
    self.home = home
    self.standby = standby
    for (id, line) in lines { line.link?.notePreferred(id == home) }
    keepHome()
  }

  /// Whether something can be relayed now.
  public var isConnected: Bool { lines.values.contains { $0.link != nil } }

  public var status: [Status] {
    lines.values.map { Status(id: $0.relay.id, isConnected: $0.link != nil, error: $0.error) }
      .sorted { $0.id < $1.id }
  }

  /// The network changed under the connections: those that do not answer are made anew soon.
  public func networkChanged() {
    for line in lines.values {
      line.pause = .milliseconds(100)
      line.link?.ping()
    }
    keepHome()
  }

  public func close() {
    isClosed = true
    sweep?.cancel()
    for (id, line) in lines { drop(id, line, "closed") }
    lines = [:]
    announce.finish()
  }

  // MARK: Sending

  /// Sends to a peer over the first of its relays that is connected; a peer of which no relay is known is looked for at all.
  ///
  /// - Parameter relays: ids of the peer's home and standby, if known.
  public func send(_ packet: ByteBuffer, to key: X25519PublicKey, relays: [UInt16]) {
    guard !isClosed, let (id, line) = choose(key, relays) else { return }
    if let link = line.link {
      link.send(packet, to: key)
    } else {
      if line.waiting.count >= Self.maximumWaiting { line.waiting.removeFirst() }
      line.waiting.append(WaitingPacket(peer: key, bytes: packet))
      connect(id, line)
    }
  }

  private func choose(_ key: X25519PublicKey, _ relays: [UInt16]) -> (UInt16, Line)? {
    func line(_ id: UInt16) -> (UInt16, Line)? { lines[id].map { (id, $0) } }
    let named = relays.compactMap(line)
    if let up = named.first(where: { $0.1.link != nil }) { return up }
    if let origin = origins.withLock({ $0[key] }).flatMap(line), origin.1.link != nil { return origin }
    if let first = named.first { return first }
    // Nobody says where it is: own home, own standby, then the others in turn.
    let own = [home, standby].compactMap { $0 }
    let order = (own + lines.keys.sorted().filter { !own.contains($0) }).compactMap(line)
    guard !order.isEmpty else { return nil }
    let now = Instant.now()
    var search = searchedAt[key] ?? (now, 0)
    if now - search.at >= Self.searchInterval { search = (now, search.next + 1) }
    if searchedAt.count >= Self.maximumOrigins { searchedAt = [:] }
    searchedAt[key] = search
    return order[search.next % order.count]
  }

  // MARK: Connections

  private func keepHome() {
    for id in [home, standby] { if let id, let line = lines[id] { connect(id, line) } }
  }

  private func connect(_ id: UInt16, _ line: Line) {
    guard line.link == nil, line.task == nil, !isClosed else { return }
    let relay = line.relay
    line.task = Task { [weak self, nodeKey] in
      while !Task.isCancelled {
        let news = AsyncStream<RelayLink.Event>.makeStream(bufferingPolicy: .bufferingNewest(256))
        do throws(DERPError) {
          let link = try await RelayLink.connect(to: relay, as: nodeKey) { [weak self] event in
            switch event {
            case .packet(let key, let bytes): self?.arrived(bytes, from: key, over: id)
            case .closed:
              news.continuation.yield(event)
              news.continuation.finish()
            default: news.continuation.yield(event)
            }
          }
          guard await self?.established(link, id, relay) == true else { return link.close() }
          for await event in news.stream { await self?.handle(event, of: id, relay) }
        } catch {
          await self?.failed(id, relay, error)
        }
        guard let pause = await self?.pause(before: id, relay) else { return }
        try? await Task.sleep(for: pause)
      }
    }
  }

  /// `false` if it is not wanted any more.
  private func established(_ link: RelayLink, _ id: UInt16, _ relay: Relay) -> Bool {
    guard let line = lines[id], line.relay == relay, !isClosed else { return false }
    line.link = link
    line.error = nil
    line.pause = .milliseconds(100)
    if id == home { link.notePreferred(true) }
    for packet in line.waiting { link.send(packet.bytes, to: packet.peer) }
    line.waiting = []
    announce.yield(.connected(relay: id))
    logger.info("connected with a relay", metadata: ["relay": "\(id)", "region": "\(relay.region)"])
    startSweep()
    return true
  }

  private func failed(_ id: UInt16, _ relay: Relay, _ error: DERPError) {
    guard let line = lines[id], line.relay == relay else { return }
    if line.error != error.description {
      logger.warning("no connection with a relay", metadata: ["relay": "\(id)", "reason": "\(error)"])
    }
    line.error = error.description
  }

  /// How long to wait before the next try; `nil`: do not try again.
  private func pause(before id: UInt16, _ relay: Relay) -> Duration? {
    guard let line = lines[id], line.relay == relay, !isClosed else { return nil }
    if line.link != nil {
      line.link = nil
      announce.yield(.disconnected(relay: id, reason: line.error ?? "it closed the connection"))
    }
    guard id == home || id == standby || !line.waiting.isEmpty else {
      line.task = nil
      return nil
    }
    let pause = line.pause
    line.pause = min(line.pause * 2, Self.longestPause)
    return pause / 2 + .nanoseconds(Int64(random.uniform(below: UInt64(max(1, pause.nanoseconds / 2)))))
  }

  private func handle(_ event: RelayLink.Event, of id: UInt16, _ relay: Relay) {
    guard let line = lines[id], line.relay == relay else { return }
    switch event {
    case .peerGone(let key, _): origins.withLock { if $0[key] == id { $0[key] = nil } }
    case .health(let text): announce.yield(.health(relay: id, text))
    case .restarting(let delay): line.pause = max(line.pause, delay)
    case .closed(let error): line.error = error.description
    case .packet, .answered: break
    }
  }

  private nonisolated func arrived(_ packet: ByteBuffer, from key: X25519PublicKey, over id: UInt16) {
    origins.withLock { origins in
      guard origins[key] != id else { return }
      if origins.count >= Self.maximumOrigins { origins = [:] }
      origins[key] = id
    }
    receive(packet, key, id)
  }

  private func drop(_ id: UInt16, _ line: Line, _ reason: String) {
    line.task?.cancel()
    line.task = nil
    if let link = line.link {
      line.link = nil
      link.close()
      announce.yield(.disconnected(relay: id, reason: reason))
    }
    lines[id] = nil
  }

  /// Leaves what is not used, as long as something besides home and standby is connected.
  private func startSweep() {
    guard sweep == nil, lines.contains(where: { $0.value.link != nil && $0.key != home && $0.key != standby }) else {
      return
    }
    sweep = Task { [weak self] in
      while !Task.isCancelled {
        try? await Task.sleep(for: .seconds(15))
        guard await self?.sweepOnce() == true else { return }
      }
    }
  }

  private func sweepOnce() -> Bool {
    let now = Instant.now()
    for (id, line) in lines where id != home && id != standby {
      guard let link = line.link, now - link.lastWrite >= Self.idleTimeout else { continue }
      line.task?.cancel()
      line.task = nil
      line.link = nil
      link.close()
      announce.yield(.disconnected(relay: id, reason: "not used"))
    }
    let goesOn = lines.contains { $0.value.link != nil && $0.key != home && $0.key != standby }
    if !goesOn { sweep = nil }
    return goesOn
  }
}
