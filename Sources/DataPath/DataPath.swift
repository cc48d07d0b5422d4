import CLinux
import Glibc
import Synchronization
public import Wire
public import WireGuard

/// The packet path: one plain thread that owns a TUN and the UDP sockets, and moves packets between them by the table that was
/// published last.
///
/// The control side publishes tables, asks for packets to be sealed, and collects what the thread has to tell when `doorbell`
/// becomes readable. It may send on the sockets, and must not read from any of the descriptors. One thread at a time calls
/// these functions.
public final class DataPath {
  public struct Descriptors: Sendable {
    /// A layer-3 TUN without packet information, non-blocking.
    public var tun: CInt
    /// Non-blocking UDP sockets; `nil` for a family that the host does not have.
    public var ipv4: CInt?
    public var ipv6: CInt?

    public init(tun: CInt, ipv4: CInt?, ipv6: CInt?) {
      self.tun = tun
      self.ipv4 = ipv4
      self.ipv6 = ipv6
    }
  }

  /// Readable when there is something to collect.
  public let doorbell: CInt
  private let wake: CInt
  private let shared: UnsafeMutablePointer<DataThreadShared>
  private let rings = ControlRings()
  private let flows: FlowTable
  private let drops = DropCounters()
  private let requests: PacketRing.Producer
  private var incoming: [PacketRing.Consumer]
  private var current: ForwardingTable
  /// Former tables with the generation whose acknowledgement frees them.
  private var retired: [(table: ForwardingTable, until: UInt64)] = []
  private var generation: UInt64 = 1
  private var thread: pthread_t?

  /// Prepares the thread; `start` starts it. The descriptors stay the caller's and must outlive it.
  ///
  /// `nil` if the process has no descriptors left.
  public init?(_ descriptors: Descriptors, mtu: Int, random: any RandomSource) {
    let doorbell = clinux_event_create()
    guard doorbell >= 0 else { return nil }
    let wake = clinux_event_create()
    guard wake >= 0 else {
      close(doorbell)
      return nil
    }
    self.doorbell = doorbell
    self.wake = wake
    flows = FlowTable(random: random)
    current = .empty
    current.view.pointee.generation = generation
    requests = rings.requests.producer
    incoming = [rings.receiveEvents, rings.sendEvents, rings.handshakes, rings.waiting].map(\.consumer)
    shared = .allocate(capacity: 1)
    shared.initialize(
      to: DataThreadShared(
        table: Atomic(current.view), wake: wake, doorbell: doorbell, tun: descriptors.tun,
        ipv4: descriptors.ipv4 ?? -1, ipv6: descriptors.ipv6 ?? -1, mtu: mtu, flows: flows.view, drops: drops,
        rings: rings))
  }

  deinit {
    stop()
    shared.deinitialize(count: 1)
    shared.deallocate()
    drops.deallocate()
    close(doorbell)
    close(wake)
  }

  /// Starts the thread. `false` if the kernel gives none.
  public func start() -> Bool {
    precondition(thread == nil, "the data thread runs already")
    var thread = pthread_t()
    guard pthread_create(&thread, nil, runDataThread, shared) == 0 else { return false }
    self.thread = thread
    return true
  }

  /// Ends the thread and waits for it. Nothing moves afterwards.
  public func stop() {
    guard let thread else { return }
    shared.pointee.mustEnd.store(true, ordering: .releasing)
    clinux_event_signal(wake)
    pthread_join(thread, nil)
    self.thread = nil
  }

  /// Makes the thread use this table from its next turn on. The former one is freed when the thread has let go of it.
  public func publish(_ table: ForwardingTable) {
    generation += 1
    table.view.pointee.generation = generation
    retired.append((current, until: generation))
    current = table
    shared.pointee.table.store(table.view, ordering: .releasing)
    clinux_event_signal(wake)
    reclaim()
  }

  /// How many former tables the thread may still look at.
  public var tablesInUse: Int {
    reclaim()
    return retired.count
  }

  /// Asks the thread to seal a packet with the peer's current session and to send it; an empty one is a keepalive. It is done
  /// under the table published last, or a later one. `false`: the queue is full, and the packet is dropped.
  public func seal(_ packet: [UInt8], for peer: PeerID) -> Bool {
    let isQueued = packet.withUnsafeBytes {
      requests.push(kind: RecordKind.seal, subject: peer.number, payload: $0)
    }
    clinux_event_signal(wake)
    return isQueued
  }

  /// Hands over everything that the thread has told since the last time, events before packets.
  ///
  /// - Parameter body: also gets, for a handshake message, how many others wait behind it, at most.
  public func collect(_ body: (DataPathMessage, _ backlog: Int) -> Void) {
    // Cleared first: what is told from here on rings again.
    clinux_event_clear(doorbell)
    for index in incoming.indices {
      guard incoming[index].look() else { continue }
      while let (header, payload) = incoming[index].next() {
        body(RecordKind.message(header, payload), incoming[index].waitingBytes / RecordKind.leastHandshakeSpace)
      }
    }
    reclaim()
  }

  /// How many packets were dropped for this reason.
  public func drops(_ reason: DropReason) -> UInt64 { drops[reason] }

  private func reclaim() {
    let acknowledged = thread == nil ? generation : shared.pointee.acknowledged.load(ordering: .acquiring)
    retired.removeAll { $0.until <= acknowledged }
  }
}
