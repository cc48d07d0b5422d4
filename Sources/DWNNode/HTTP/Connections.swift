import NIOCore
import Synchronization
import Wire

/// Tells a connection to end once it has nothing more to answer: the server ends, or somebody else needs the place.
public struct ServerIsClosing: Sendable {}

/// The connections that are open, and what they hold together.
final class Connections: Sendable {
  private struct Connection {
    let channel: any Channel
    /// Another protocol has taken it over, with bounds of its own.
    var isHandedOver = false
  }

  private struct State {
    var open: [ObjectIdentifier: Connection] = [:]
    var places: ConnectionPlaces<ObjectIdentifier>
    var largeBodies: [UInt128: Int] = [:]
    var bodyBytes = 0
    var isClosing = false
    var waiter: CheckedContinuation<Void, Never>?
  }

  private let bodyBudget: Int
  private let state: Mutex<State>

  init(maximum: Int, maximumPerNetwork: Int, bodyBudget: Int) {
    self.bodyBudget = bodyBudget
    state = Mutex(State(places: ConnectionPlaces(maximum: maximum, maximumPerNetwork: maximumPerNetwork)))
  }

  /// Whether one more connection is welcome, perhaps in the place of one that waits for a request. It leaves by itself when it
  /// closes.
  func admit(_ channel: any Channel, now: Instant) -> Bool {
    let network = Self.network(of: channel.remoteAddress)
    let (isAdmitted, evicted) = state.withLock { state -> (Bool, (any Channel)?) in
      let id = ObjectIdentifier(channel)
      guard !state.isClosing, case .admitted(let evicted) = state.places.admit(id, of: network, now: now) else {
        return (false, nil)
      }
      state.open[id] = Connection(channel: channel)
      return (true, evicted.flatMap { state.open[$0]?.channel })
    }
    if isAdmitted { channel.closeFuture.whenComplete { _ in self.remove(channel) } }
    // It may have got a request in the meantime: then it answers that first.
    evicted?.pipeline.fireUserInboundEventTriggered(ServerIsClosing())
    return isAdmitted
  }

  /// A connection waits for a request since a time; `nil`: it is served.
  func setIdle(_ channel: any Channel, since time: Instant?) {
    state.withLock { $0.places.setIdle(ObjectIdentifier(channel), since: time) }
  }

  /// Another protocol takes the connection over, with bounds of its own: it makes room here, and ends with the server all the same.
  func handOver(_ channel: any Channel) {
    let isClosing = state.withLock { state in
      let id = ObjectIdentifier(channel)
      guard state.open[id] != nil else { return false }
      state.open[id]?.isHandedOver = true
      state.places.leave(id)
      return state.isClosing
    }
    if isClosing { channel.close(promise: nil) }
  }

  /// Whom a bound holds for: an IPv4 address or an IPv6 /64, which one machine usually has to itself. `nil` for this machine.
  static func network(of address: NIOCore.SocketAddress?) -> UInt128? {
    guard let ip = address?.ipAddress.flatMap({ IPAddress($0) }), !ip.isLoopback else { return nil }
    return ip.family == .v4 ? ip.value : (ip.value >> 64) << 64
  }

  /// Whether a body may take so many bytes more.
  func reserve(_ bytes: Int) -> Bool {
    state.withLock { state in
      guard state.bodyBytes + bytes <= bodyBudget else { return false }
      state.bodyBytes += bytes
      return true
    }
  }

  func release(_ bytes: Int) {
    state.withLock { $0.bodyBytes -= bytes }
  }

  /// Whether one more body of a network may go to the disk.
  func beginLargeBody(of network: UInt128?, most: Int) -> Bool {
    guard let network else { return true }
    return state.withLock { state in
      guard state.largeBodies[network, default: 0] < most else { return false }
      state.largeBodies[network, default: 0] += 1
      return true
    }
  }

  func endLargeBody(of network: UInt128?) {
    guard let network else { return }
    state.withLock { state in
      guard let count = state.largeBodies[network] else { return }
      state.largeBodies[network] = count > 1 ? count - 1 : nil
    }
  }

  /// Returns when all are closed. What was handed over is closed at once: it has no request that could be ended.
  func close(grace: Duration) async {
    let open = state.withLock { state in
      state.isClosing = true
      return Array(state.open.values)
    }
    for connection in open {
      if connection.isHandedOver {
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
        if !state.open.isEmpty { state.waiter = continuation }
        return state.open.isEmpty
      }
      if isEmpty { continuation.resume() }
    }
    deadline?.cancel()
  }

  private func remove(_ channel: any Channel) {
    let waiter = state.withLock { state in
      state.open[ObjectIdentifier(channel)] = nil
      state.places.leave(ObjectIdentifier(channel))
      guard state.open.isEmpty else { return nil as CheckedContinuation<Void, Never>? }
      defer { state.waiter = nil }
      return state.waiter
    }
    waiter?.resume()
  }
}
