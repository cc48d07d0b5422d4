import NIOCore
import Synchronization
import Wire

/// How many connections may be open that have not said who they are, in all and from one network.
final class StrangerBudget: Sendable {
  private struct State {
    var all = 0
    var perNetwork: [IPPrefix?: Int] = [:]
  }

  private let limits: RelayLimits
  private let state = Mutex(State())

  init(_ limits: RelayLimits) {
    self.limits = limits
  }

  /// Whom the bound holds for: an IPv4 address or an IPv6 /64, which one machine usually has to itself.
  static func network(of address: String?) -> IPPrefix? {
    guard let ip = address.flatMap({ IPAddress($0) })?.unmapped else { return nil }
    return IPPrefix(ip, length: ip.family == .v4 ? 32 : 64)
  }

  func enter(_ network: IPPrefix?) -> Bool {
    state.withLock { state in
      guard state.all < limits.strangers, state.perNetwork[network] ?? 0 < limits.strangersPerNetwork else {
        return false
      }
      state.all += 1
      state.perNetwork[network, default: 0] += 1
      return true
    }
  }

  func leave(_ network: IPPrefix?) {
    state.withLock { state in
      guard let count = state.perNetwork[network] else { return }
      state.all -= 1
      state.perNetwork[network] = count > 1 ? count - 1 : nil
    }
  }
}
