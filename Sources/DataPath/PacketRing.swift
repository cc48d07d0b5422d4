import Synchronization

/// A bounded queue of byte records between one producing and one consuming thread, without locks and without allocation.
///
/// The object owns the memory and outlives both ends; `producer` and `consumer` are each for one thread. A record that does not
/// fit is refused, never split or overwritten: the producer counts it as dropped.
///
/// Records lie one behind the other, each 8-byte aligned: a `Header`, then its payload. One that would cross the end of the
/// memory begins at its start instead, behind a header of kind `Header.skip`.
public final class PacketRing: @unchecked Sendable {
  // The pointers are set in `init` alone; what they point to is written by one side each, ordered by the two words.

  /// What stands before every payload.
  public struct Header: BitwiseCopyable {
    static let skip = UInt32.max

    public var kind: UInt32
    public var length: UInt32
    /// Free for the two ends.
    public var subject: UInt32
    public var detail: UInt32
    public var value: UInt64
  }

  struct Words: ~Copyable {
    /// Bytes ever consumed, by the consumer.
    let head = Atomic<UInt64>(0)
    /// Whether the consumer waits to be woken.
    let isAwaited = Atomic<Bool>(false)
    // The two words are written by different cores; without the gap every write would take the other's cache line away.
    private let gap = InlineArray<6, UInt64>(repeating: 0)
    /// Bytes ever produced, by the producer.
    let tail = Atomic<UInt64>(0)
  }

  private let words: UnsafeMutablePointer<Words>
  private let memory: UnsafeMutableRawPointer
  private let capacity: UInt64

  /// - Parameter capacity: bytes, a power of two.
  public init(capacity: Int) {
    precondition(capacity >= 4096 && capacity & (capacity - 1) == 0, "a ring's capacity is a power of two")
    self.capacity = UInt64(capacity)
    words = .allocate(capacity: 1)
    words.initialize(to: Words())
    memory = .allocate(byteCount: capacity, alignment: 64)
  }

  deinit {
    words.deinitialize(count: 1)
    words.deallocate()
    memory.deallocate()
  }

  public var producer: Producer { Producer(words: words, memory: memory, capacity: capacity) }
  public var consumer: Consumer { Consumer(words: words, memory: memory, capacity: capacity) }

  static func space(_ payload: Int) -> UInt64 {
    UInt64(truncatingIfNeeded: (MemoryLayout<Header>.size &+ payload &+ 7) & ~7)
  }

  /// The end that puts records in. For one thread.
  public struct Producer: @unchecked Sendable {
    let words: UnsafeMutablePointer<Words>
    let memory: UnsafeMutableRawPointer
    let capacity: UInt64

    /// Whether there is room for a record with a payload of so many bytes. It stays so until something is pushed.
    @inline(__always)
    func fits(_ payload: Int) -> Bool {
      let space = PacketRing.space(payload)
      let tail = words.pointee.tail.load(ordering: .relaxed)
      let untilEnd = capacity &- (tail & (capacity &- 1))
      let skipped = space > untilEnd ? untilEnd : 0
      return space &+ skipped <= capacity &- (tail &- words.pointee.head.load(ordering: .acquiring))
    }

    /// Ask after a push: whether the consumer waits, and has to be woken. `true` once for each time that it waits.
    func mustWake() -> Bool {
      // Between the record and the flag, as `Consumer.mayWait` has one between the flag and the record: one of the two sees the other.
      atomicMemoryFence(ordering: .sequentiallyConsistent)
      return words.pointee.isAwaited.load(ordering: .relaxed)
        && words.pointee.isAwaited.exchange(false, ordering: .relaxed)
    }

    /// Appends one record, whose payload is `prefix` and then `payload`. `false`: there is no room.
    public func push(
      kind: UInt32, subject: UInt32 = 0, detail: UInt32 = 0, value: UInt64 = 0,
      prefix: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0),
      payload: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0)
    ) -> Bool {
      let length = prefix.count &+ payload.count
      let space = PacketRing.space(length)
      let head = words.pointee.head.load(ordering: .acquiring)
      var tail = words.pointee.tail.load(ordering: .relaxed)
      var position = tail & (capacity &- 1)
      let untilEnd = capacity &- position
      let skipped = space > untilEnd ? untilEnd : 0
      guard length <= Int(UInt32.max), space &+ skipped <= capacity &- (tail &- head) else { return false }
      if skipped > 0 {
        // Fewer bytes than a header need no marker: the consumer knows that no record begins there.
        if skipped >= UInt64(MemoryLayout<Header>.size) {
          memory.storeBytes(
            of: Header(kind: Header.skip, length: 0, subject: 0, detail: 0, value: 0),
            toByteOffset: Int(truncatingIfNeeded: position), as: Header.self)
        }
        tail &+= skipped
        position = 0
      }
      let record = memory + Int(truncatingIfNeeded: position)
      record.storeBytes(
        of: Header(
          kind: kind, length: UInt32(truncatingIfNeeded: length), subject: subject, detail: detail, value: value),
        as: Header.self)
      let body = record + MemoryLayout<Header>.size
      if let base = prefix.baseAddress { body.copyMemory(from: base, byteCount: prefix.count) }
      if let base = payload.baseAddress { (body + prefix.count).copyMemory(from: base, byteCount: payload.count) }
      words.pointee.tail.store(tail &+ space, ordering: .releasing)
      return true
    }
  }

  /// The end that takes records out. For one thread.
  public struct Consumer: @unchecked Sendable {
    let words: UnsafeMutablePointer<Words>
    let memory: UnsafeMutableRawPointer
    let capacity: UInt64
    private var limit: UInt64 = 0
    private var held: UInt64 = 0

    init(words: UnsafeMutablePointer<Words>, memory: UnsafeMutableRawPointer, capacity: UInt64) {
      self.words = words
      self.memory = memory
      self.capacity = capacity
    }

    /// Looks how much there is. `next` gives only what was there at the last look, so that whatever the producer published
    /// before those records is visible too. `false`: nothing.
    public mutating func look() -> Bool {
      limit = words.pointee.tail.load(ordering: .acquiring)
      return limit != words.pointee.head.load(ordering: .relaxed)
    }

    /// Says that the consumer is about to wait, so that the producer wakes it after its next push. `false`: there is something now.
    public mutating func mayWait() -> Bool {
      words.pointee.isAwaited.store(true, ordering: .relaxed)
      atomicMemoryFence(ordering: .sequentiallyConsistent)
      return !look()
    }

    /// How many bytes lay behind the record that `next` gave last, at the last look.
    public var waitingBytes: Int {
      Int(truncatingIfNeeded: limit &- words.pointee.head.load(ordering: .relaxed) &- held)
    }

    /// The next record; its payload is valid until the next call of `next`, which gives the space back.
    public mutating func next() -> (header: Header, payload: UnsafeRawBufferPointer)? {
      var head = words.pointee.head.load(ordering: .relaxed)
      if held > 0 {
        head &+= held
        held = 0
        words.pointee.head.store(head, ordering: .releasing)
      }
      while head != limit {
        let position = head & (capacity &- 1)
        let untilEnd = capacity &- position
        if untilEnd >= UInt64(MemoryLayout<Header>.size) {
          let record = memory + Int(truncatingIfNeeded: position)
          let header = record.load(as: Header.self)
          if header.kind != Header.skip {
            held = PacketRing.space(Int(header.length))
            return (
              header,
              UnsafeRawBufferPointer(
                start: record + MemoryLayout<Header>.size, count: Int(header.length))
            )
          }
        }
        head &+= untilEnd
        words.pointee.head.store(head, ordering: .releasing)
      }
      return nil
    }
  }
}
