import NIOCore
import Synchronization

/// How many connections may be open that have not said who they are, in all and from one address.
final class StrangerBudget: Sendable {
  private struct State {
    var all = 0
    var perAddress: [String: Int] = [:]
  }

  private let limits: RelayLimits
  private let state = Mutex(State())

  init(_ limits: RelayLimits) {
    self.limits = limits
  }

  func enter(_ address: String) -> Bool {
    state.withLock { state in
      guard state.all < limits.strangers, state.perAddress[address] ?? 0 < limits.strangersPerAddress else {
        return false
      }
      state.all += 1
      state.perAddress[address, default: 0] += 1
      return true
    }
  }

  func leave(_ address: String) {
    state.withLock { state in
      guard let count = state.perAddress[address] else { return }
      state.all -= 1
      state.perAddress[address] = count > 1 ? count - 1 : nil
    }
  }
}
