import NIOCore
import Synchronization
import Wire

/// Tells a connection to end once it has nothing more to answer.
public struct ServerIsClosing: Sendable {}

/// The connections that are open, and what they hold together.
final class Connections: Sendable {
  private struct State {
    var open: [ObjectIdentifier: any Channel] = [:]
    var perNetwork: [UInt128: Int] = [:]
    var largeBodies: [UInt128: Int] = [:]
    var bodyBytes = 0
    var isClosing = false
    var waiter: CheckedContinuation<Void, Never>?
  }

  private let maximum: Int
  private let maximumPerNetwork: Int
  private let bodyBudget: Int
  private let state = Mutex(State())

  init(maximum: Int, maximumPerNetwork: Int, bodyBudget: Int) {
    self.maximum = maximum
    self.maximumPerNetwork = maximumPerNetwork
    self.bodyBudget = bodyBudget
  }

  /// Whether one more connection is welcome. It leaves by itself when it closes.
  func admit(_ channel: any Channel) -> Bool {
    let network = Self.network(of: channel.remoteAddress)
    let isAdmitted = state.withLock { state in
      guard state.open.count < maximum, !state.isClosing else { return false }
      if let network {
        guard state.perNetwork[network, default: 0] < maximumPerNetwork else { return false }
        state.perNetwork[network, default: 0] += 1
      }
      state.open[ObjectIdentifier(channel)] = channel
      return true
    }
    if isAdmitted { channel.closeFuture.whenComplete { _ in self.remove(channel, network: network) } }
    return isAdmitted
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

  /// Returns when all are closed.
  func close(grace: Duration) async {
    let open = state.withLock { state in
      state.isClosing = true
      return Array(state.open.values)
    }
    for channel in open { channel.pipeline.fireUserInboundEventTriggered(ServerIsClosing()) }
    let deadline = open.first?.eventLoop.scheduleTask(in: .nanoseconds(grace.nanoseconds)) {
      for channel in self.state.withLock({ Array($0.open.values) }) { channel.close(promise: nil) }
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

  private func remove(_ channel: any Channel, network: UInt128?) {
    let waiter = state.withLock { state in
      state.open[ObjectIdentifier(channel)] = nil
      if let network, let count = state.perNetwork[network] { state.perNetwork[network] = count > 1 ? count - 1 : nil }
      guard state.open.isEmpty else { return nil as CheckedContinuation<Void, Never>? }
      defer { state.waiter = nil }
      return state.waiter
    }
    waiter?.resume()
  }
}
