/// A map from numbers to memory that somebody owns, immutable: changing it makes another one, which shares with it all but the
/// buckets in which something changed. So a change among ten thousand costs what it costs among ten.
///
/// Looking up is for the packet path (`NumberMapView`): two loads, and a search in a bucket that is at most half full.
struct NumberMap {
  /// Entries of a bucket, on average, when the map is made, and before it is made anew with more buckets.
  private static let comfortable = 8
  private static let crowded = 32

  /// Something at a fixed place, which it owns.
  typealias Entry = (number: UInt32, owner: any NumberMapEntry)

  private var buckets: [Bucket]
  private(set) var count: Int

  /// The numbers are unique.
  init(_ entries: [Entry] = []) {
    var capacity = 1
    while capacity * NumberMap.comfortable < entries.count { capacity *= 2 }
    var sorted = [[Entry]](repeating: [], count: capacity)
    for entry in entries { sorted[NumberMap.bucket(entry.number, capacity)].append(entry) }
    buckets = sorted.map(Bucket.init)
    count = entries.count
  }

  subscript(number: UInt32) -> (any NumberMapEntry)? {
    buckets[NumberMap.bucket(number, buckets.count)].entries.first { $0.number == number }?.owner
  }

  /// Removes what the numbers stand for, then adds, or replaces, entries.
  mutating func change(removing removed: [UInt32], adding added: [Entry]) {
    var changed: [Int: [Entry]] = [:]
    func entries(_ number: UInt32) -> (bucket: Int, entries: [Entry]) {
      let bucket = NumberMap.bucket(number, buckets.count)
      return (bucket, changed[bucket] ?? buckets[bucket].entries)
    }
    for number in removed {
      let (bucket, former) = entries(number)
      let left = former.filter { $0.number != number }
      count -= former.count - left.count
      changed[bucket] = left
    }
    for entry in added {
      let (bucket, former) = entries(entry.number)
      let others = former.filter { $0.number != entry.number }
      count += others.count + 1 - former.count
      changed[bucket] = others + [entry]
    }
    for (bucket, entries) in changed { buckets[bucket] = Bucket(entries) }
    if count > buckets.count * NumberMap.crowded { self = NumberMap(buckets.flatMap(\.entries)) }
  }

  /// For the packet path. Valid as long as the map, or a copy of it, is; the caller deallocates it.
  func makeView() -> NumberMapView {
    let roots = UnsafeMutablePointer<NumberMapView.Root>.allocate(capacity: buckets.count)
    for (index, bucket) in buckets.enumerated() { (roots + index).initialize(to: bucket.root) }
    return NumberMapView(roots: roots, mask: UInt32(buckets.count - 1))
  }

  private static func bucket(_ number: UInt32, _ count: Int) -> Int {
    Int(NumberMapView.scatter(number) & UInt32(count - 1))
  }

  private final class Bucket {
    let entries: [Entry]
    let root: NumberMapView.Root

    init(_ entries: [Entry]) {
      self.entries = entries
      var capacity = 2
      while capacity < entries.count * 2 { capacity *= 2 }
      root = NumberMapView.Root(slots: .allocate(capacity: capacity), mask: UInt32(capacity - 1))
      root.slots.initialize(repeating: NumberMapView.Slot(), count: capacity)
      for entry in entries {
        var slot = NumberMapView.place(NumberMapView.scatter(entry.number)) & root.mask
        while root.slots[Int(slot)].place != nil { slot = (slot &+ 1) & root.mask }
        root.slots[Int(slot)] = NumberMapView.Slot(number: entry.number, place: entry.owner.place)
      }
    }

    deinit { root.slots.deallocate() }
  }
}

/// What a number may stand for: an object that holds memory at one place for as long as it lives.
protocol NumberMapEntry: AnyObject {
  var place: UnsafeMutableRawPointer { get }
}

/// Plain pointers into a `NumberMap`, which must outlive them.
struct NumberMapView {
  struct Slot {
    var number: UInt32 = 0
    var place: UnsafeMutableRawPointer?
  }

  struct Root {
    let slots: UnsafeMutablePointer<Slot>
    let mask: UInt32
  }

  fileprivate let roots: UnsafeMutablePointer<Root>
  fileprivate let mask: UInt32

  func deallocate() { roots.deallocate() }

  @inline(__always)
  subscript(number: UInt32) -> UnsafeMutableRawPointer? {
    let scattered = NumberMapView.scatter(number)
    let root = roots + Int(scattered & mask)
    let slots = root.pointee.slots
    let last = root.pointee.mask
    var slot = NumberMapView.place(scattered) & last
    while true {
      let entry = slots + Int(slot)
      guard let place = entry.pointee.place else { return nil }
      if entry.pointee.number == number { return place }
      slot = (slot &+ 1) & last
    }
  }

  /// Peers are numbered in a row, so the bits have to be spread before some are taken.
  @inline(__always)
  fileprivate static func scatter(_ number: UInt32) -> UInt32 {
    let product = number &* 0x9e37_79b1
    return product ^ (product &>> 15)
  }

  /// Other bits than those that chose the bucket.
  @inline(__always)
  fileprivate static func place(_ scattered: UInt32) -> UInt32 { scattered &>> 20 }
}
