import Cryptography
import DERP
import DataPath
import Netmap
import Traversal
import Wire
import WireGuard

/// What an engine with a disco key keeps to find ways: the finder, the relays, checks of the network, and who waits for what.
final class Pathfinding {
  /// What the relays' connections are told, one after the other.
  enum RelayOrder: Sendable {
    case relays([Relay])
    case home(UInt16?, standby: UInt16?)
    case networkChanged(addresses: [IPAddress])
    /// It could not be connected with, and answers now.
    case isBack(UInt16)
    /// A way broke, and the connections may have broken with it.
    case ask
    /// Somebody wants to send, and there is no way.
    case wanted
  }

  /// A ping that somebody waits for.
  typealias Waiter = CheckedContinuation<PingAnswer?, Never>

  var discoKey: X25519PrivateKey
  var finder: PathFinder
  let relays: RelayConnections
  let inbox: RelayInbox
  let relayOrders: AsyncStream<RelayOrder>.Continuation
  /// Carries out the orders, and follows the relays' events. Cancelled at the end.
  var tasks: [Task<Void, Never>] = []
  var held = HeldHandshakes()
  var early = EarlyMessages()
  var pings: [PingToken: (key: X25519PublicKey, waiter: Waiter, until: Instant)] = [:]
  var check: NetworkCheck
  /// Sockets beside the engine's own.
  var probeSockets: [ProbeSocket] = []
  /// Sealed packets that the kernel would not send over them.
  var probeDrops: [DropReason: UInt64] = [:]
  /// The one whose datagram is being looked at: answers to its source go out there.
  var answering: ProbeSocket?
  /// The relay whose message is being looked at.
  var hearing: UInt16?
  private let probeBuffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 65_536, alignment: 16)
  var standing = RelayStanding()

  init(
    discoKey: X25519PrivateKey, finder: PathFinder, relays: RelayConnections, inbox: RelayInbox,
    relayOrders: AsyncStream<RelayOrder>.Continuation, now: Instant
  ) {
    self.discoKey = discoKey
    self.finder = finder
    self.relays = relays
    self.inbox = inbox
    self.relayOrders = relayOrders
    check = NetworkCheck(startedAt: now)
  }

  deinit {
    probeBuffer.deallocate()
    close()
    Task { [relays] in await relays.close() }
  }

  /// Room for one datagram.
  func withProbeBuffer(_ body: (UnsafeMutableRawBufferPointer) -> Void) { body(probeBuffer) }

  /// Lets go of whoever waits, and of the relays.
  func close() {
    for task in tasks { task.cancel() }
    relayOrders.finish()
    for ping in pings.values { ping.waiter.resume(returning: nil) }
    pings = [:]
    for waiter in check.takeWaiters() { waiter.resume() }
  }

  var nextDeadline: Instant? {
    ([finder.nextDeadline, check.nextDeadline, standing.nextDeadline] + pings.values.map(\.until)).compactMap { $0 }
      .min()
  }

  /// Those that somebody waits for, to be asked anew.
  func takePings() -> [(key: X25519PublicKey, waiter: Waiter, until: Instant)] {
    defer { pings = [:] }
    return Array(pings.values)
  }

  /// Nobody waits longer for what did not come.
  func expirePings(at now: Instant) {
    for (token, ping) in pings where ping.until <= now {
      pings[token] = nil
      ping.waiter.resume(returning: nil)
    }
  }
}
