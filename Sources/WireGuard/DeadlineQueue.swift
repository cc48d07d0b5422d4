import Wire

/// The peers in the order of their next deadlines: a binary heap. An entry may be too early, never too late; whoever takes it
/// looks at the peer.
struct DeadlineQueue: Sendable {
  struct Entry: Sendable {
    let deadline: Instant
    let peer: PeerID
  }

  private var heap: [Entry] = []

  var first: Entry? { heap.first }

  mutating func insert(_ deadline: Instant, _ peer: PeerID) {
    heap.append(Entry(deadline: deadline, peer: peer))
    var child = heap.count - 1
    while child > 0, heap[child].deadline < heap[(child - 1) / 2].deadline {
      heap.swapAt(child, (child - 1) / 2)
      child = (child - 1) / 2
    }
  }

  @discardableResult
  mutating func removeFirst() -> Entry {
    heap.swapAt(0, heap.count - 1)
    let first = heap.removeLast()
    var parent = 0
    while true {
      var least = parent
      for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count {
        if heap[child].deadline < heap[least].deadline { least = child }
      }
      guard least != parent else { return first }
      heap.swapAt(parent, least)
      parent = least
    }
  }
}
