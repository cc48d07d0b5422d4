import DWN
import Identity
import Synchronization

/// Events that were made a moment ago. A burst leaves many subscribers a little behind; what they come for is here, and is not made
/// for each of them anew.
final class RecentEvents: Sendable {
  /// Events, and bytes of their texts and data.
  private static let capacity = 512
  private static let largestSize = 4 << 20

  private struct Key: Hashable {
    var tenant: DID
    var position: Int64
  }

  private struct State {
    var events: [Key: EventRound.Event] = [:]
    var order: [Key] = []
    var size = 0
    var made = 0
  }

  private let state = Mutex(State())

  /// How many were made, and not found here.
  var made: Int { state.withLock { $0.made } }

  /// What was made of a message that is still as it was.
  func event(of message: StoredMessage, tenant: DID) -> EventRound.Event? {
    let known = state.withLock { $0.events[Key(tenant: tenant, position: message.position)] }
    guard let known, known.message.cid == message.cid, known.message.isLatest == message.isLatest,
      known.message.hasData == message.hasData
    else { return nil }
    return known
  }

  func remember(_ event: EventRound.Event, tenant: DID) {
    let key = Key(tenant: tenant, position: event.message.position)
    state.withLock { state in
      state.made += 1
      if let earlier = state.events.updateValue(event, forKey: key) {
        state.size -= earlier.size
      } else {
        state.order.append(key)
      }
      state.size += event.size
      while state.order.count > Self.capacity || state.size > Self.largestSize {
        guard let oldest = state.events.removeValue(forKey: state.order.removeFirst()) else { continue }
        state.size -= oldest.size
      }
    }
  }
}

extension EventRound.Event {
  fileprivate var size: Int {
    message.json.utf8.count + (initial?.json.utf8.count ?? 0) + (frame.entry.data?.count ?? 0)
  }
}
