public import Cryptography
import Logging
public import NIOCore
import NIOPosix
import NIOSSL
public import Netmap
import Synchronization
public import Wire

/// One connection to a relay, from the moment it is established until it breaks.
public final class RelayLink: Sendable {
  public enum Event: Hashable, Sendable {
    case packet(from: X25519PublicKey, ByteBuffer)
    case peerGone(X25519PublicKey, DERPFrame.PeerGoneReason)
    case health(String?)
    case restarting(after: Duration)
    case answered(latency: Duration)
    /// The last event.
    case closed(DERPError)
  }

  private struct State {
    var lines = PacketLines()
    var isAwake = false
    var dropped: UInt64 = 0
    var lastWrite: Instant
  }

  /// What waits while the relay takes nothing.
  private static let limits = RelayLimits()
  /// A relay that takes nothing for so long is dead, whatever it sends meanwhile. A slow line takes a few seconds for what its kernel
  /// holds before there is room again.
  static let stallTimeout: Duration = .seconds(10)

  public let relay: Relay
  let channel: any Channel
  private let handler: NIOLoopBound<RelayLinkHandler>
  private let state: Mutex<State>

  private init(_ relay: Relay, _ channel: any Channel, _ handler: NIOLoopBound<RelayLinkHandler>) {
    self.relay = relay
    self.channel = channel
    self.handler = handler
    state = Mutex(State(lastWrite: .now()))
  }

  /// Connects and returns once the relay has taken this client in.
  ///
  /// - Parameter onEvent: is called on the connection's event loop, `closed` last and once.
  public static func connect(
    to relay: Relay, as nodeKey: X25519PrivateKey, onEvent: @escaping @Sendable (Event) -> Void
  ) async throws(DERPError) -> RelayLink {
    let certificate = ServerCertificate(pin: relay.certificateSHA256)
    let loop = MultiThreadedEventLoopGroup.singleton.next()
    let deadline = NIODeadline.now() + .nanoseconds(RelayClientSession.handshakeTimeout.nanoseconds)
    do {
      let channel = try await RelayDialer(relay: relay, certificate: certificate, loop: loop).dial(before: deadline)
      let leaf = try await channel.eventLoop.submit {
        try channel.pipeline.syncOperations.nioSSL_peerCertificate()?.toDERBytes()
      }.get()
      return try await establish(
        over: channel, with: relay, as: nodeKey, certificate: leaf.flatMap { Bytes32(SHA2.sha256($0)) },
        certifiedKey: certificate.relayKey, onEvent: onEvent)
    } catch {
      throw error as? DERPError ?? .notConnected("\(error)")
    }
  }

  /// Shakes hands over a channel that stands, and closes it if that fails.
  ///
  /// - Parameters:
  ///   - certificate: SHA-256 of the leaf that the relay showed; `nil` without TLS.
  ///   - certifiedKey: the relay's key, where its certificates gave it.
  static func establish(
    over channel: any Channel, with relay: Relay, as nodeKey: X25519PrivateKey, certificate: Bytes32?,
    certifiedKey: X25519PublicKey?, stallTimeout: Duration = stallTimeout,
    onEvent: @escaping @Sendable (Event) -> Void
  ) async throws(DERPError) -> RelayLink {
    let established = channel.eventLoop.makePromise(of: Void.self)
    do {
      let handler = try await channel.eventLoop.submit {
        let handler = RelayLinkHandler(
          nodeKey: nodeKey, relay: relay, certificate: certificate, certifiedKey: certifiedKey,
          stallTimeout: stallTimeout, established: established, onEvent: onEvent)
        try channel.pipeline.syncOperations.addHandler(handler)
        return NIOLoopBound(handler, eventLoop: channel.eventLoop)
      }.get()
      try await established.futureResult.get()
      return RelayLink(relay, channel, handler)
    } catch {
      established.fail(error)
      channel.close(promise: nil)
      throw error as? DERPError ?? .notConnected("\(error)")
    }
  }

  /// Puts the packet into the line; one of before may have to go for it. What is too long is dropped.
  public func send(_ packet: ByteBuffer, to key: X25519PublicKey) {
    guard packet.readableBytes <= DERPFrame.maximumPacket else { return }
    let wakes = state.withLock { state in
      let entry = WaitingPacket(peer: key, bytes: packet)
      state.dropped += UInt64(
        state.lines.append(entry, isDisco: WaitingPacket.isDisco(packet), RelayLink.limits))
      state.lastWrite = .now()
      defer { state.isAwake = true }
      return !state.isAwake
    }
    if wakes { writeAgain() }
  }

  /// Whether this relay is the client's home, for the relay's own count.
  public func notePreferred(_ isHome: Bool) { onLoop { handler, _ in handler.notePreferred(isHome) } }

  /// Asks the relay for an answer: `answered`, or `closed` when there is none.
  public func ping() { onLoop { handler, _ in handler.sendPing() } }

  public func close() { channel.close(promise: nil) }

  /// When something was last sent.
  public var lastWrite: Instant { state.withLock(\.lastWrite) }

  /// The address of this machine that the connection uses.
  public var localAddress: IPAddress? { channel.localAddress?.ipAddress.flatMap { IPAddress($0) } }

  func next() -> WaitingPacket? {
    state.withLock { state in
      let packet = state.lines.take()
      if packet == nil { state.isAwake = false }
      return packet
    }
  }

  /// When the event loop has done what else it has to.
  func writeAgain() { onLoop { handler, link in handler.write(link) } }

  private func onLoop(_ body: @escaping @Sendable (RelayLinkHandler, RelayLink) -> Void) {
    channel.eventLoop.execute { [self] in body(handler.value, self) }
  }
}

/// Runs a client session over a channel.
final class RelayLinkHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private static let gathered = 64 << 10
  /// So many writes, and the event loop does what else it has to.
  private static let roundsAtOnce = 16

  /// `nil` before the connection and after its end.
  private(set) var session: RelayClientSession?
  private let nodeKey: X25519PrivateKey
  private let relay: Relay
  private let certificate: Bytes32?
  private let certifiedKey: X25519PublicKey?
  private let stallTimeout: Duration
  private let established: EventLoopPromise<Void>
  private let onEvent: @Sendable (RelayLink.Event) -> Void
  private var context: ChannelHandlerContext?
  private var timer: Scheduled<Void>?
  private var stalled: Scheduled<Void>?
  private weak var waitingLink: RelayLink?
  private var isClosed = false

  init(
    nodeKey: X25519PrivateKey, relay: Relay, certificate: Bytes32?, certifiedKey: X25519PublicKey?,
    stallTimeout: Duration, established: EventLoopPromise<Void>, onEvent: @escaping @Sendable (RelayLink.Event) -> Void
  ) {
    self.nodeKey = nodeKey
    self.relay = relay
    self.certificate = certificate
    self.certifiedKey = certifiedKey
    self.stallTimeout = stallTimeout
    self.established = established
    self.onEvent = onEvent
  }

  func handlerAdded(context: ChannelHandlerContext) {
    self.context = context
    let host = relay.host.contains(":") ? "[\(relay.host)]:\(relay.port)" : "\(relay.host):\(relay.port)"
    var session = RelayClientSession(
      nodeKey: nodeKey, host: host, certificate: certificate, certifiedKey: certifiedKey, random: SystemRandom(),
      now: .now())
    var output = context.channel.allocator.buffer(capacity: 512)
    do throws(DERPError) {
      try session.start(&output)
      self.session = session
      context.writeAndFlush(wrapOutboundOut(output), promise: nil)
      schedule()
    } catch {
      end(error)
    }
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    // TLS waits for the relay's goodbye, and passes on what comes before it.
    guard !isClosed else { return }
    var output = context.channel.allocator.buffer(capacity: 64)
    do throws(DERPError) {
      for event in try session?.receive(unwrapInboundIn(data), &output, now: .now()) ?? [] { handle(event) }
      if context.channel.isWritable { session?.answerPing(&output) }
      flush(output)
      schedule()
    } catch {
      end(error)
    }
  }

  private func handle(_ event: RelayClientSession.Event) {
    switch event {
    case .established: established.succeed()
    case .packet(let key, let bytes): onEvent(.packet(from: key, bytes))
    case .peerGone(let key, let reason): onEvent(.peerGone(key, reason))
    case .health(let text): onEvent(.health(text))
    case .restarting(let delay): onEvent(.restarting(after: delay))
    case .answered(let latency): onEvent(.answered(latency: latency))
    }
  }

  func channelInactive(context: ChannelHandlerContext) {
    end(.closed)
    context.fireChannelInactive()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    end(error as? DERPError ?? .notConnected("\(error)"))
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    watchStall(context)
    if context.channel.isWritable {
      var output = ByteBuffer()
      session?.answerPing(&output)
      flush(output)
      if let link = waitingLink { write(link) }
    }
    context.fireChannelWritabilityChanged()
  }

  private func end(_ error: DERPError) {
    guard !isClosed else { return }
    isClosed = true
    timer?.cancel()
    stalled?.cancel()
    let wasEstablished = session?.isEstablished == true
    established.fail(error)
    session = nil
    context?.close(promise: nil)
    context = nil
    if wasEstablished { onEvent(.closed(error)) }
  }

  // MARK: Writing

  func write(_ link: RelayLink) {
    guard let context, session != nil else { return }
    waitingLink = link
    let now = Instant.now()
    var rounds = 0
    while context.channel.isWritable {
      guard rounds < Self.roundsAtOnce else {
        link.writeAgain()
        break
      }
      rounds += 1
      var output = context.channel.allocator.buffer(capacity: 2048)
      while output.readableBytes < Self.gathered, let packet = link.next() {
        session?.send(packet.bytes, to: packet.peer, &output, now: now)
      }
      guard output.readableBytes > 0 else { break }
      context.write(wrapOutboundOut(output), promise: nil)
    }
    context.flush()
    schedule()
  }

  func notePreferred(_ isHome: Bool) {
    var output = ByteBuffer()
    session?.notePreferred(isHome, &output)
    flush(output)
  }

  func sendPing() {
    var output = ByteBuffer()
    session?.sendPing(&output, now: .now())
    flush(output)
    schedule()
  }

  private func flush(_ output: ByteBuffer) {
    if output.readableBytes > 0 { context?.writeAndFlush(wrapOutboundOut(output), promise: nil) }
  }

  // MARK: Time

  private func watchStall(_ context: ChannelHandlerContext) {
    guard !context.channel.isWritable else {
      stalled?.cancel()
      stalled = nil
      return
    }
    guard stalled == nil, !isClosed else { return }
    stalled = context.eventLoop.assumeIsolated().scheduleTask(in: .nanoseconds(stallTimeout.nanoseconds)) { [self] in
      end(.takesNothing)
    }
  }

  private func schedule() {
    guard let context, let deadline = session?.nextDeadline else { return }
    timer?.cancel()
    let delay = max(.zero, deadline - .now())
    timer = context.eventLoop.assumeIsolated().scheduleTask(in: .nanoseconds(delay.nanoseconds)) { [self] in
      var output = ByteBuffer()
      do throws(DERPError) {
        try session?.advance(&output, now: .now())
        flush(output)
        schedule()
      } catch {
        end(error)
      }
    }
  }
}
