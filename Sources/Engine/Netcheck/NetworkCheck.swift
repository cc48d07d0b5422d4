import Netmap
import Traversal
import Wire

/// Where an engine is with checking its network: the check that runs, what the last ones found, and when the next is due.
struct NetworkCheck {
  /// The first word on how this machine is reached is not put off for longer.
  static let announcement: Duration = .seconds(2)
  /// Once a relay is connected the first word waits no longer for what others see.
  static let grace: Duration = .milliseconds(200)
  /// A peer is told of addresses, known or not, after so long.
  static let callPatience: Duration = .milliseconds(500)
  static let interval: ClosedRange<Duration> = .seconds(20)...(.seconds(26))
  static let fullInterval: Duration = .seconds(300)

  typealias Waiter = CheckedContinuation<Void, Never>

  var running: Netcheck?
  var last: NetcheckReport?
  var lastFullAt: Instant?
  var lastFinishedAt: Instant?
  var home = HomeRelay()
  /// The home as it is used: without any measurement it is a guess.
  var homeRelay: UInt16?
  var standbyRelay: UInt16?
  var seen = SeenAddresses()
  var witnesses = PeerWitnesses()
  var mapping: NATMapping?
  /// When the next check begins; `nil`: when something is sent.
  var nextAt: Instant?
  /// Another one is wanted as soon as the running one has ended; `true`: a full one.
  var isWantedAgain: Bool?
  /// Peers wait to be told where this machine is, for at most so long.
  var owedUntil: Instant?
  /// When the first reach is told, known or not; `nil`: it has been.
  var announceBy: Instant?
  var told: Reach?
  /// What names of servers resolved to.
  var resolved: [String: [IPAddress]] = [:]
  var resolving: Set<String> = []
  var waiters: [Waiter] = []

  init(startedAt now: Instant) { announceBy = now + Self.announcement }

  var nextDeadline: Instant? {
    [running?.deadline, running == nil ? nextAt : nil, owedUntil, announceBy].compactMap { $0 }.min()
  }

  /// After a change of the network nothing of before says anything.
  mutating func forget() {
    seen = SeenAddresses()
    witnesses = PeerWitnesses()
    mapping = nil
    last = nil
    lastFullAt = nil
  }
}
