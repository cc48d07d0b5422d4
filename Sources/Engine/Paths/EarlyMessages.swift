import Cryptography
import Wire

/// What came over relays from machines that no netmap names yet. Of two that join, one knows of the other first, and what it sends then is
/// sent again only seconds later. So the newest message of each kind is kept for a short time, of a few machines.
struct EarlyMessages {
  /// As long as an initiation's answer is waited for.
  static let patience: Duration = .seconds(5)
  /// Machines of which something is kept. The one that has been heard longest ago makes room.
  static let capacity = 16

  private struct Entry {
    let key: X25519PublicKey
    var disco: RelayInbox.Message?
    var handshake: RelayInbox.Message?
    var until: Instant
  }

  private var entries: [Entry] = []

  mutating func hold(_ message: RelayInbox.Message, at now: Instant) {
    if case .transport = message { return }
    entries.removeAll { $0.until <= now }
    let index = entries.firstIndex { $0.key == message.sender }
    var entry = index.map { entries.remove(at: $0) } ?? Entry(key: message.sender, until: now)
    switch message {
    case .disco: entry.disco = message
    case .handshake: entry.handshake = message
    case .transport: break
    }
    entry.until = now + Self.patience
    entries.append(entry)
    entries.removeFirst(max(0, entries.count - Self.capacity))
  }

  /// What is kept of machines that are known by now, and is not kept any more.
  mutating func take(at now: Instant, ifKnown isKnown: (RelayInbox.Message) -> Bool) -> [RelayInbox.Message] {
    var taken: [RelayInbox.Message] = []
    for index in entries.indices where now < entries[index].until {
      if let disco = entries[index].disco, isKnown(disco) {
        taken.append(disco)
        entries[index].disco = nil
      }
      if let handshake = entries[index].handshake, isKnown(handshake) {
        taken.append(handshake)
        entries[index].handshake = nil
      }
    }
    entries.removeAll { $0.until <= now || $0.disco == nil && $0.handshake == nil }
    return taken
  }
}
