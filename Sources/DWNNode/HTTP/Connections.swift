import NIOCore
import Synchronization
import Wire

/// Tells a connection to end once it has nothing more to answer: the server ends.
struct ServerIsClosing: Sendable {}

/// Tells a connection to end once it has nothing more to answer: somebody else needs its place.
struct PlaceIsNeeded: Sendable {}

/// The connections that are open, and what they hold together. Those that carry requests and those that stay open have places of their
/// own, so that many of one kind leave room for the other.
final class Connections: Sendable {
  typealias Standing = ConnectionPlaces<ObjectIdentifier>.Standing

  private enum Kind {
    case requests
    case webSocket
    /// Another protocol has taken it over, with bounds of its own.
    case handedOver
  }

  private struct Connection {
    let channel: any Channel
    var kind = Kind.requests
  }

  private struct State {
    var open: [ObjectIdentifier: Connection] = [:]
    var requests: ConnectionPlaces<ObjectIdentifier>
    var webSockets: ConnectionPlaces<ObjectIdentifier>
    var largeBodies: CallerShares
    var isClosing = false
    var waiters: [CheckedContinuation<Void, Never>] = []
  }

  /// Of requests that are being received, in bytes.
  let bodies: ByteBudget
  /// Of answers and events that are not read yet, in bytes.
  let replies: ByteBudget
  private let proxies: [IPPrefix]
  private let state: Mutex<State>

  init(_ configuration: ServerConfiguration, metrics: ServerMetrics) {
    bodies = ByteBudget(configuration.bodyBudget)
    let small = max(configuration.smallReply, configuration.webSocket.largestFrame)
    replies = ByteBudget(configuration.replyBudget, small: small) { metrics.change(.unread, by: Double($0)) }
    proxies = configuration.trustedProxies
    let sockets = configuration.webSocket
    state = Mutex(
      State(
        requests: ConnectionPlaces(
          maximum: configuration.maximumConnections, perNetwork: configuration.maximumConnectionsPerNetwork,
          perSite: configuration.maximumConnectionsPerSite),
        webSockets: ConnectionPlaces(
          maximum: sockets.connections, perNetwork: sockets.connectionsPerNetwork, perSite: sockets.connectionsPerSite),
        largeBodies: CallerShares(
          of: configuration.largeBodies, perNetwork: configuration.largeBodiesPerNetwork,
          perSite: 2 * configuration.largeBodiesPerNetwork)))
  }

  /// Whether one more connection is welcome, perhaps in the place of one that waits for a request. It leaves by itself when it
  /// closes.
  func admit(_ channel: any Channel) -> Bool {
    var caller = Caller(remote: channel.remoteAddress)
    // Whom a proxy speaks for is not known yet, and the proxy itself is one of ours.
    if let address = caller.address, proxies.contains(where: { $0.contains(address) }) { caller = Caller(nil) }
    let (isAdmitted, evicted) = state.withLock { state -> (Bool, (any Channel)?) in
      let id = ObjectIdentifier(channel)
      guard !state.isClosing, case .admitted(let evicted) = state.requests.admit(id, of: caller) else {
        return (false, nil)
      }
      state.open[id] = Connection(channel: channel)
      return (true, evicted.flatMap { state.open[$0]?.channel })
    }
    if isAdmitted { channel.closeFuture.whenComplete { _ in self.remove(channel) } }
    // It may have got a request in the meantime: then it answers that first.
    evicted?.pipeline.fireUserInboundEventTriggered(PlaceIsNeeded())
    return isAdmitted
  }

  /// Whether a connection may stay open from now on, perhaps in the place of another one that does: it makes room among those that
  /// carry requests.
  func becomeWebSocket(_ channel: any Channel, of caller: Caller) -> Bool {
    let (isAdmitted, evicted) = state.withLock { state -> (Bool, (any Channel)?) in
      let id = ObjectIdentifier(channel)
      guard !state.isClosing, state.open[id]?.kind == .requests,
        case .admitted(let evicted) = state.webSockets.admit(id, of: caller)
      else { return (false, nil) }
      state.requests.leave(id)
      state.open[id]?.kind = .webSocket
      return (true, evicted.flatMap { state.open[$0]?.channel })
    }
    evicted?.pipeline.fireUserInboundEventTriggered(PlaceIsNeeded())
    return isAdmitted
  }

  /// How much a connection is needed from now on.
  func set(_ channel: any Channel, _ standing: Standing) {
    state.withLock { state in
      let id = ObjectIdentifier(channel)
      switch state.open[id]?.kind {
      case .requests: state.requests.set(id, standing)
      case .webSocket: state.webSockets.set(id, standing)
      case .handedOver, nil: break
      }
    }
  }

  /// Another protocol takes the connection over, with bounds of its own: it makes room here, and ends with the server all the same.
  func handOver(_ channel: any Channel) {
    let isClosing = state.withLock { state in
      let id = ObjectIdentifier(channel)
      guard state.open[id] != nil else { return false }
      state.open[id]?.kind = .handedOver
      state.requests.leave(id)
      return state.isClosing
    }
    if isClosing { channel.close(promise: nil) }
  }

  /// Whether one more body may go to the disk.
  func beginLargeBody(of caller: Caller) -> Bool { state.withLock { $0.largeBodies.take(1, for: caller) } }

  func endLargeBody(of caller: Caller) { state.withLock { $0.largeBodies.give(1, for: caller) } }

  /// Returns when all are closed. What was handed over is closed at once: it has no request that could be ended.
  func close(grace: Duration) async {
    let open = state.withLock { state in
      state.isClosing = true
      return Array(state.open.values)
    }
    for connection in open {
      if connection.kind == .handedOver {
        connection.channel.close(promise: nil)
      } else {
        connection.channel.pipeline.fireUserInboundEventTriggered(ServerIsClosing())
      }
    }
    let deadline = open.first?.channel.eventLoop.scheduleTask(in: .nanoseconds(grace.nanoseconds)) {
      for connection in self.state.withLock({ Array($0.open.values) }) { connection.channel.close(promise: nil) }
    }
    await withCheckedContinuation { continuation in
      let isEmpty = state.withLock { state in
        if !state.open.isEmpty { state.waiters.append(continuation) }
        return state.open.isEmpty
      }
      if isEmpty { continuation.resume() }
    }
    deadline?.cancel()
  }

  private func remove(_ channel: any Channel) {
    let waiters = state.withLock { state in
      let id = ObjectIdentifier(channel)
      state.open[id] = nil
      state.requests.leave(id)
      state.webSockets.leave(id)
      guard state.open.isEmpty else { return [] as [CheckedContinuation<Void, Never>] }
      defer { state.waiters = [] }
      return state.waiters
    }
    for waiter in waiters { waiter.resume() }
  }
}
