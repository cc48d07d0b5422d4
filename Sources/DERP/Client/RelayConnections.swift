public import Cryptography
public import Logging
public import NIOCore
public import Netmap
import Synchronization
public import Wire

/// The relays of a network as one client uses them: home and standby are kept connected, others are connected with when something
/// has to go there, and left when nothing does (`reach.md`, 2).
public actor RelayConnections {
  public enum Event: Hashable, Sendable {
    case connected(relay: UInt16)
    /// - Parameter reason: what was wrong; `nil`: nothing, this side has left it.
    case disconnected(relay: UInt16, reason: String?)
    case failed(relay: UInt16, reason: String)
    /// What a relay says is wrong; `nil`: nothing any more. Of one relay once a second at most.
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

  private final class Line {
    var relay: Relay
    var link: RelayLink?
    var task: Task<Void, Never>?
    /// Which task that connects is the one that counts.
    var attempt = 0
    var pause = RetryPause()
    var error: String?
    var health = HealthNews()

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
  /// Shared with those who send. The lock is also what keeps packets in order.
  private nonisolated let board = Mutex(RelayBoard<RelayLink>())
  private var lines: [UInt16: Line] = [:]
  /// How many tasks were begun that connect. Numbers are never used again: one of a relay's former line may end at any time.
  private var attempts = 0
  private var home: UInt16?
  private var standby: UInt16?
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
    for (id, line) in lines where wanted[id] != line.relay { drop(id, line) }
    for (id, relay) in wanted where lines[id] == nil {
      lines[id] = Line(relay)
      board.withLock { $0.add(id) }
    }
    keepHome()
  }

  /// The two that are kept connected.
  public func setHome(_ home: UInt16?, standby: UInt16?) {
    guard home != self.home || standby != self.standby else { return }
    self.home = home
    self.standby = standby
    board.withLock { ($0.home, $0.standby) = (home, standby) }
    for (id, line) in lines { line.link?.notePreferred(id == home) }
    keepHome()
    startSweep()
  }

  /// Whether something can be relayed now.
  public nonisolated var isConnected: Bool { board.withLock(\.isConnected) }

  public var status: [Status] {
    lines.values.map { Status(id: $0.relay.id, isConnected: $0.link != nil, error: $0.error ?? $0.health.text) }
      .sorted { $0.id < $1.id }
  }

  /// The network changed under the connections: those that do not answer, or whose address of this machine is gone, are made anew.
  ///
  /// - Parameter addresses: the machine's own, as they are now; `nil`: not known.
  public func networkChanged(addresses: [IPAddress]? = nil) {
    for (id, line) in lines {
      line.pause.reset()
      guard let link = line.link else {
        // A try that began in the old network may wait long for nothing.
        if line.task != nil { begin(id, line) }
        continue
      }
      guard let local = link.localAddress, let addresses, !local.isLoopback, !addresses.contains(local.unmapped) else {
        link.ping()
        continue
      }
      // One that is kept comes back by itself, another with the next packet for it.
      if id == home || id == standby { link.close() } else { leave(id, line, link) }
    }
    keepHome()
  }

  /// A relay that could not be connected with answers now: whoever waits for the next try makes it at once.
  public func isBack(_ id: UInt16) {
    guard let line = lines[id], line.link == nil, line.task != nil, !isClosed else { return }
    line.pause.reset()
    begin(id, line)
  }

  /// The way besides the relays broke: each that is connected is asked whether it is there, and one that does not answer is made anew.
  public func ask() { for line in lines.values { line.link?.ping() } }

  /// Somebody wants to send to a peer to whom there is no way: home and standby are tried again now, unless that was a moment ago.
  public func wanted() { keepHome() }

  public func close() {
    isClosed = true
    sweep?.cancel()
    for (id, line) in lines { drop(id, line) }
    announce.finish()
  }

  // MARK: Sending

  /// Sends to a peer over the first of its relays that is connected; a peer of which no relay is known is looked for at all. Never
  /// waits: what has to wait for a connection does so in a short line, which loses its oldest packets.
  ///
  /// - Parameter relays: ids of the peer's home and standby, if known.
  public nonisolated func send(_ packet: ByteBuffer, to key: X25519PublicKey, relays: [UInt16]) {
    let wanted = board.withLock { board -> [UInt16] in
      switch board.take(packet, to: key, relays: relays, at: .now()) {
      case .send(let link, let wanted):
        link.send(packet, to: key)
        return wanted
      case .waits(let wanted): return wanted
      case .dropped: return []
      }
    }
    guard !wanted.isEmpty else { return }
    Task { await connect(wanted) }
  }

  /// The relay over which the peer would be sent to now, if it is connected.
  public nonisolated func relay(for key: X25519PublicKey, relays: [UInt16]) -> UInt16? {
    board.withLock { $0.relay(for: key, relays, at: .now()) }
  }

  // MARK: Connections

  private func keepHome() {
    connect([home, standby].compactMap { $0 }.filter { id in board.withLock { $0.seek(id, at: .now()) } })
  }

  /// With relays of which the board says that they are sought.
  private func connect(_ ids: [UInt16]) {
    for id in ids {
      guard let line = lines[id], !isClosed else { continue }
      begin(id, line)
    }
  }

  private func begin(_ id: UInt16, _ line: Line) {
    line.task?.cancel()
    let (relay, attempt) = (line.relay, newAttempt())
    line.attempt = attempt
    line.task = Task { [weak self, nodeKey] in
      while !Task.isCancelled {
        await self?.tries(id, attempt)
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
          guard await self?.established(link, id, attempt) == true else { return link.close() }
          for await event in news.stream { await self?.handle(event, of: id, attempt) }
        } catch {
          await self?.failed(id, attempt, error)
        }
        guard let pause = await self?.pause(before: id, attempt) else { return }
        try? await Task.sleep(for: pause)
      }
    }
  }

  private func newAttempt() -> Int {
    attempts += 1
    return attempts
  }

  private func tries(_ id: UInt16, _ attempt: Int) {
    if line(id, attempt) != nil { board.withLock { $0.rest(id, since: nil) } }
  }

  /// The line, if this try is the one that counts.
  private func line(_ id: UInt16, _ attempt: Int) -> Line? {
    guard let line = lines[id], line.attempt == attempt, !isClosed else { return nil }
    return line
  }

  /// `false` if it is not wanted any more.
  private func established(_ link: RelayLink, _ id: UInt16, _ attempt: Int) -> Bool {
    guard let line = line(id, attempt) else { return false }
    line.link = link
    line.error = nil
    line.health = HealthNews()
    line.pause.connected(at: .now())
    if id == home { link.notePreferred(true) }
    board.withLock { for packet in $0.connected(id, link) { link.send(packet.bytes, to: packet.peer) } }
    announce.yield(.connected(relay: id))
    logger.info("connected with a relay", metadata: ["relay": "\(id)", "region": "\(line.relay.region)"])
    startSweep()
    return true
  }

  private func failed(_ id: UInt16, _ attempt: Int, _ error: DERPError) {
    guard let line = line(id, attempt) else { return }
    if line.error != error.description {
      logger.warning("no connection with a relay", metadata: ["relay": "\(id)", "reason": "\(error)"])
    }
    line.error = error.description
    board.withLock { $0.failed(id) }
    announce.yield(.failed(relay: id, reason: error.description))
  }

  /// How long to wait before the next try; `nil`: do not try again.
  private func pause(before id: UInt16, _ attempt: Int) -> Duration? {
    guard let line = line(id, attempt) else { return nil }
    if line.link != nil {
      line.link = nil
      board.withLock { $0.disconnected(id) }
      announce.yield(.disconnected(relay: id, reason: line.error ?? "it closed the connection"))
    }
    let isWanted = board.withLock { board in
      if id == home || id == standby || board.isWanted(id, at: .now()) { return true }
      board.leave(id)
      return false
    }
    guard isWanted else {
      line.task = nil
      return nil
    }
    board.withLock { $0.rest(id, since: .now()) }
    return line.pause.next(at: .now(), random: random)
  }

  private func handle(_ event: RelayLink.Event, of id: UInt16, _ attempt: Int) {
    guard let line = line(id, attempt) else { return }
    switch event {
    case .peerGone(let key, _): board.withLock { $0.isGone(key, from: id, at: .now()) }
    case .health(let text): tell(line.health.heard(text, at: .now()), of: id, attempt)
    case .restarting(let delay): line.pause.extend(to: delay)
    case .closed(let error):
      line.error = error.description
      board.withLock { $0.failed(id) }
    case .packet, .answered: break
    }
  }

  private func tell(_ step: HealthNews.Step, of id: UInt16, _ attempt: Int) {
    switch step {
    case .nothing: break
    case .tell(let text): announce.yield(.health(relay: id, text))
    case .rest(let pause):
      Task { [weak self] in
        try? await Task.sleep(for: pause)
        await self?.healthRested(id, attempt)
      }
    }
  }

  private func healthRested(_ id: UInt16, _ attempt: Int) {
    guard let line = line(id, attempt), line.link != nil else { return }
    tell(line.health.rested(at: .now()), of: id, attempt)
  }

  private nonisolated func arrived(_ packet: ByteBuffer, from key: X25519PublicKey, over id: UInt16) {
    board.withLock { $0.heard(key, over: id) }
    receive(packet, key, id)
  }

  private func drop(_ id: UInt16, _ line: Line) {
    line.task?.cancel()
    line.task = nil
    lines[id] = nil
    board.withLock { $0.remove(id) }
    guard let link = line.link else { return }
    link.close()
    announce.yield(.disconnected(relay: id, reason: nil))
  }

  private func leave(_ id: UInt16, _ line: Line, _ link: RelayLink) {
    line.task?.cancel()
    line.task = nil
    line.attempt = newAttempt()
    line.link = nil
    board.withLock {
      $0.disconnected(id)
      $0.leave(id)
    }
    link.close()
    announce.yield(.disconnected(relay: id, reason: nil))
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
      leave(id, line, link)
    }
    let goesOn = lines.contains { $0.value.link != nil && $0.key != home && $0.key != standby }
    if !goesOn { sweep = nil }
    return goesOn
  }
}
