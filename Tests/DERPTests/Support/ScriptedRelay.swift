import Cryptography
import NIOCore
import NIOPosix
import NIOSSL
import Netmap
import Synchronization
import TestSupport
import Wire

@testable import DERP

/// A relay on loopback that does what a test wants, to one connection after the other.
final class ScriptedRelay: Sendable {
  enum Behaviour: Sendable {
    /// Instead of an answer to the request.
    case closes, staysSilent, refuses, babbles
    /// In the handshake: another key than its certificate names, or words that nobody can open.
    case showsAnotherKey, sealsForAnother
    /// It takes the client in; then these bytes come, and the connection ends or stays. It answers no ping.
    case takesIn(sends: ByteBuffer, closes: Bool)
    /// It takes the client in, sends these bytes again and again for as long as they are read, and answers no ping. It may read
    /// nothing itself from then on.
    case floods(ByteBuffer, reads: Bool = true)
    /// It says nothing until the promise is kept, and takes the client in then; or closes when it is broken.
    case hesitates(EventLoopFuture<Void>)
  }

  private let behaviours: [Behaviour]
  private let key = X25519PrivateKey(random: SystemRandom())
  private let count = Atomic(0)
  private let ended = Counter()
  private let channel: Mutex<(any Channel)?>
  let relay: Relay

  /// How many connections there were.
  var connections: Int { count.load(ordering: .relaxed) }

  /// How many of them are over.
  var ends: Int { ended.count }

  /// - Parameters:
  ///   - behaviours: one for each connection; the last is that of all after it.
  ///   - isBare: it speaks without TLS, and its kernel takes as little as it can for a connection.
  init(_ behaviours: Behaviour..., id: UInt16 = 1, isBare: Bool = false) async throws {
    precondition(!behaviours.isEmpty, "it has to do something")
    self.behaviours = behaviours
    let identity = try RelayCertificate(relayKey: key.publicKey, now: .now())
    let tls = try identity.serverContext()
    let box = Mutex<(@Sendable (any Channel) throws -> Void)?>(nil)
    var bootstrap = ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
    if isBare { bootstrap = bootstrap.serverChannelOption(.socketOption(.so_rcvbuf), value: 4096) }
    let listener =
      try await bootstrap
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          if !isBare { try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: tls)) }
          try box.withLock { $0 }?(channel)
        }
      }
      .bind(host: "127.0.0.1", port: 0).get()
    channel = Mutex(listener)
    relay = Relay(
      id: id, region: "scripted", host: "127.0.0.1", port: UInt16(listener.localAddress?.port ?? 0),
      certificateSHA256: identity.sha256)
    box.withLock {
      $0 = { [self] channel in
        channel.closeFuture.whenComplete { [ended] _ in ended.add() }
        try channel.pipeline.syncOperations.addHandler(ScriptedConnection(next(), key))
      }
    }
  }

  private func next() -> Behaviour {
    let number = count.wrappingAdd(1, ordering: .relaxed).oldValue
    return behaviours[min(number, behaviours.count - 1)]
  }

  func stop() async {
    try? await channel.withLock { $0.take() }?.close()
  }
}

private final class ScriptedConnection: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private let behaviour: ScriptedRelay.Behaviour
  private let key: X25519PrivateKey
  private var input = ByteBuffer()
  private var reader = DERPFrameReader()
  private var hasHead = false
  private var isHesitating = false
  private var isTakenIn = false

  init(_ behaviour: ScriptedRelay.Behaviour, _ key: X25519PrivateKey) {
    self.behaviour = behaviour
    self.key = key
  }

  func handlerAdded(context: ChannelHandlerContext) {
    guard case .hesitates(let promise) = behaviour else { return }
    isHesitating = true
    promise.hop(to: context.eventLoop).assumeIsolated().whenComplete { [self] result in
      isHesitating = false
      if case .success = result { read(context) } else { context.close(promise: nil) }
    }
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard !isTakenIn else { return }
    input.writeImmutableBuffer(unwrapInboundIn(data))
    read(context)
  }

  private func read(_ context: ChannelHandlerContext) {
    guard !isHesitating else { return }
    do {
      if !hasHead, let request = try UpgradeRequest.read(&input) {
        hasHead = true
        answer(request, context)
      }
      if hasHead, case .clientInfo(let client, _)? = try reader.next(&input) { takeIn(client, context) }
    } catch {
      context.close(promise: nil)
    }
  }

  private func answer(_ request: UpgradeRequest, _ context: ChannelHandlerContext) {
    var output = ByteBuffer()
    switch behaviour {
    case .closes: return context.close(promise: nil)
    case .staysSilent: return
    case .refuses: output.writeString("HTTP/1.1 403 Forbidden\r\n\r\n")
    case .babbles: output.writeBytes(SeededRandom(1).bytes(20_000))
    case .showsAnotherKey, .sealsForAnother, .takesIn, .floods, .hesitates:
      if !request.isFastStart { output.writeString("HTTP/1.1 101 Switching Protocols\r\n\r\n") }
      let other = X25519PrivateKey(random: SystemRandom()).publicKey
      let shown = if case .showsAnotherKey = behaviour { other } else { key.publicKey }
      DERPFrame.serverKey(shown).write(to: &output)
    }
    context.writeAndFlush(wrapOutboundOut(output), promise: nil)
  }

  private func takeIn(_ client: X25519PublicKey, _ context: ChannelHandlerContext) {
    let other = X25519PrivateKey(random: SystemRandom()).publicKey
    let reader = if case .sealsForAnother = behaviour { other } else { client }
    guard let box = NaClBox(key, reader) else { return context.close(promise: nil) }
    isTakenIn = true
    var output = ByteBuffer()
    DERPFrame.serverInfo(sealed: SealedInfo.seal(SealedInfo.server, in: box, random: SystemRandom())).write(to: &output)
    switch behaviour {
    case .takesIn(var bytes, let closes):
      output.writeBuffer(&bytes)
      let (channel, end) = (context.channel, context.eventLoop.makePromise(of: Void.self))
      if closes { end.futureResult.whenComplete { _ in channel.close(promise: nil) } }
      context.writeAndFlush(wrapOutboundOut(output), promise: end)
    case .floods(let bytes, let reads):
      if !reads { _ = context.channel.setOption(.autoRead, value: false) }
      context.writeAndFlush(wrapOutboundOut(output), promise: nil)
      context.channel.pour(bytes)
    default: context.writeAndFlush(wrapOutboundOut(output), promise: nil)
    }
  }
}
