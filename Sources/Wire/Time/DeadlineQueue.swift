/// Who is due next, of many: a binary heap. An entry may be too early, never too late; whoever takes it looks at what it names.
public struct DeadlineQueue<Element: Sendable>: Sendable {
  public struct Entry: Sendable {
    public let deadline: Instant
    public let element: Element
  }

  private var heap: [Entry] = []

  public init() {}

  public var first: Entry? { heap.first }

  public mutating func insert(_ deadline: Instant, _ element: Element) {
    heap.append(Entry(deadline: deadline, element: element))
    var child = heap.count - 1
    while child > 0, heap[child].deadline < heap[(child - 1) / 2].deadline {
      heap.swapAt(child, (child - 1) / 2)
      child = (child - 1) / 2
    }
  }

  /// - Precondition: the queue is not empty.
  @discardableResult
  public mutating func removeFirst() -> Entry {
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
