import Synchronization
public import Wire

/// What a peer's timers need to know of its packets, at one moment.
public struct Traffic: Equatable, Sendable {
  /// When the first data packet came to which nothing was sent since.
  public var unansweredSince: Instant?
  /// When the first data packet was sent after which nothing came since.
  public var unheardSince: Instant?
  /// When the last packet of any kind was sealed.
  public var lastSent: Instant?
  /// When the last packet of any kind was opened.
  public var lastReceived: Instant?

  public init(
    unansweredSince: Instant? = nil, unheardSince: Instant? = nil, lastSent: Instant? = nil,
    lastReceived: Instant? = nil
  ) {
    self.unansweredSince = unansweredSince
    self.unheardSince = unheardSince
    self.lastSent = lastSent
    self.lastReceived = lastReceived
  }
}

/// The words of one peer through which the data thread feeds its timers without an event per packet.
///
/// The data thread records packets, one call per batch; the control side observes when a timer is due. The `armed` word makes
/// the first data packet in each direction after an observation tell: record gives `true`, and the data thread sends
/// `Event.dataSent` or `.dataReceived`. A new value is armed. One thread per direction may record at the same time.
public struct TrafficWords: ~Copyable, Sendable {
  private static let armedForSent: UInt8 = 1
  private static let armedForReceived: UInt8 = 2

  // Zero stands for never.
  private let unansweredSince = Atomic<UInt64>(0)
  private let unheardSince = Atomic<UInt64>(0)
  private let lastSent = Atomic<UInt64>(0)
  private let lastReceived = Atomic<UInt64>(0)
  private let armed = Atomic<UInt8>(armedForSent | armedForReceived)

  public init() {}

  /// Data thread: packets were sealed for the peer; `isData` if one of them was not a keepalive.
  /// `true`: tell the control side (`Event.dataSent`).
  public func recordSent(isData: Bool, at now: Instant) -> Bool {
    let time = max(now.nanoseconds, 1)
    lastSent.store(time, ordering: .relaxed)
    if unansweredSince.load(ordering: .relaxed) != 0 { unansweredSince.store(0, ordering: .relaxed) }
    return isData && TrafficWords.begin(unheardSince, at: time) && disarm(TrafficWords.armedForSent)
  }

  /// Data thread: packets of the peer authenticated; `isData` if one of them was not a keepalive.
  /// `true`: tell the control side (`Event.dataReceived`).
  public func recordReceived(isData: Bool, at now: Instant) -> Bool {
    let time = max(now.nanoseconds, 1)
    lastReceived.store(time, ordering: .relaxed)
    if unheardSince.load(ordering: .relaxed) != 0 { unheardSince.store(0, ordering: .relaxed) }
    return isData && TrafficWords.begin(unansweredSince, at: time) && disarm(TrafficWords.armedForReceived)
  }

  /// Data thread: `recordSent` was true, and it could not be told. The next data packet tells it.
  public func rearmSent() { armed.bitwiseOr(TrafficWords.armedForSent, ordering: .sequentiallyConsistent) }

  /// Data thread: `recordReceived` was true, and it could not be told. The next data packet tells it.
  public func rearmReceived() { armed.bitwiseOr(TrafficWords.armedForReceived, ordering: .sequentiallyConsistent) }

  /// Control side: arms both directions and then reads, so that what comes too late to be read gives an event.
  public func observe() -> Traffic {
    armed.store(TrafficWords.armedForSent | TrafficWords.armedForReceived, ordering: .sequentiallyConsistent)
    func time(_ word: borrowing Atomic<UInt64>) -> Instant? {
      let value = word.load(ordering: .sequentiallyConsistent)
      return value == 0 ? nil : Instant(nanoseconds: value)
    }
    return Traffic(
      unansweredSince: time(unansweredSince), unheardSince: time(unheardSince), lastSent: time(lastSent),
      lastReceived: time(lastReceived))
  }

  /// Always `true`. Only the beginning of a wait has to be ordered before the look at `armed`; within it, `observe` sees it.
  private static func begin(_ word: borrowing Atomic<UInt64>, at time: UInt64) -> Bool {
    if word.load(ordering: .relaxed) == 0 { word.store(time, ordering: .sequentiallyConsistent) }
    return true
  }

  private func disarm(_ direction: UInt8) -> Bool {
    guard armed.load(ordering: .sequentiallyConsistent) & direction != 0 else { return false }
    return armed.bitwiseAnd(~direction, ordering: .sequentiallyConsistent).oldValue & direction != 0
  }
}
