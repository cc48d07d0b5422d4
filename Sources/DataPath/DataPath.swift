import CLinux
import Glibc
import Synchronization
public import Wire
public import WireGuard

/// The packet path: one plain thread, or one for each direction, that owns a TUN and the UDP sockets, and moves packets between
/// them by the table that was published last.
///
/// The control side publishes tables, asks for packets to be sealed, and collects what the threads have to tell when `doorbell`
/// becomes readable. It may send on the sockets, and must not read from any of the descriptors. One thread at a time calls
/// these functions.
public final class DataPath {
  public struct Descriptors: Sendable {
    /// A layer-3 TUN without packet information, non-blocking.
    public var tun: CInt
    /// Whether a virtio-net header stands before every packet on it.
    public var hasHeaders: Bool
    /// Non-blocking UDP sockets; `nil` for a family that the host does not have.
    public var ipv4: CInt?
    public var ipv6: CInt?
    /// What is switched on: for the device with `hasHeaders` alone.
    public var offloads: Offloads

    public init(tun: CInt, hasHeaders: Bool = false, ipv4: CInt?, ipv6: CInt?, offloads: Offloads = []) {
      self.tun = tun
      self.hasHeaders = hasHeaders
      self.ipv4 = ipv4
      self.ipv6 = ipv6
      self.offloads = hasHeaders ? offloads.consistent : offloads.subtracting([.tso, .uso])
    }
  }

  /// Who does the work.
  public enum Threads: Hashable, Sendable {
    /// One thread does all of it: the least work for a packet.
    case one
    /// Sending and receiving each have a thread: more packets where cores are idle.
    case onePerDirection

    /// What suits so many cores.
    public static func suiting(cores: Int) -> Threads { cores >= 4 ? .onePerDirection : .one }
  }

  /// Readable when there is something to collect.
  public var doorbell: CInt { bell.descriptor }
  public let threads: Threads
  /// Takes transport messages that came over a relay. It may be kept for longer than the data path, and leads nowhere then.
  public let relayInlet: RelayInlet
  private let bell: EventCounter
  private let wakes: (sending: EventCounter, receiving: EventCounter)
  let shared: UnsafeMutablePointer<DataThreadShared>
  private let rings = ControlRings()
  private let flows: FlowTable
  private let drops = DropCounters()
  private let requests: PacketRing.Producer
  private var incoming: [PacketRing.Consumer]
  private var current: ForwardingTable
  /// Former tables with the generation whose acknowledgement frees them.
  private var retired: [(table: ForwardingTable, until: UInt64)] = []
  private var generation: UInt64 = 1
  private var running: [pthread_t] = []

  /// Prepares the threads; `start` starts them. The descriptors stay the caller's and must outlive it.
  ///
  /// `nil` if the process has no descriptors left.
  public init?(_ descriptors: Descriptors, mtu: Int, random: any RandomSource, threads: Threads = .one) {
    guard let bell = EventCounter(), let sending = EventCounter(), let receiving = EventCounter() else { return nil }
    self.threads = threads
    self.bell = bell
    wakes = (sending, receiving)
    relayInlet = RelayInlet(rings.fromRelays, wake: threads == .one ? sending : receiving)
    flows = FlowTable(random: random)
    current = .empty
    current.view.pointee.generation = generation
    requests = rings.requests.producer
    incoming = [rings.receiveEvents, rings.sendEvents, rings.handshakes, rings.probes, rings.waiting, rings.relayed]
      .map(\.consumer)
    shared = .allocate(capacity: 1)
    shared.initialize(
      to: DataThreadShared(
        table: Atomic(current.view), wakes: (sending.descriptor, receiving.descriptor), doorbell: bell.descriptor,
        descriptors: descriptors,
        offloads: Atomic(descriptors.offloads.rawValue), mtu: mtu, fragmented: random.uint32(), flows: flows.view,
        drops: drops, rings: rings))
  }

  deinit {
    stop()
    shared.deinitialize(count: 1)
    shared.deallocate()
    drops.deallocate()
  }

  /// Starts the threads. `false` if the kernel gives none.
  public func start() -> Bool {
    precondition(running.isEmpty, "the data path runs already")
    let started =
      switch threads {
      case .one: start { runDataThread($0) }
      case .onePerDirection: start { runSendThread($0) } && start { runReceiveThread($0) }
      }
    if !started { stop() }
    return started
  }

  private func start(_ entry: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer?) -> Bool {
    var thread = pthread_t()
    guard pthread_create(&thread, nil, entry, shared) == 0 else { return false }
    running.append(thread)
    return true
  }

  /// Ends the threads and waits for them. Nothing moves afterwards.
  public func stop() {
    shared.pointee.mustEnd.store(true, ordering: .releasing)
    wakeThreads()
    for thread in running { pthread_join(thread, nil) }
    running = []
    shared.pointee.mustEnd.store(false, ordering: .releasing)
  }

  private func wakeThreads() {
    wakes.sending.signal()
    if threads == .onePerDirection { wakes.receiving.signal() }
  }

  /// What the kernel does for the threads at this moment: what was switched on, less what turned out not to work.
  public var offloads: Offloads { Offloads(rawValue: shared.pointee.offloads.load(ordering: .relaxed)) }

  /// What sockets refused to do for a route, they may do for those of another network.
  public func trySocketsAgain() {
    shared.pointee.trials.wrappingAdd(1, ordering: .relaxed)
    wakes.sending.signal()
  }

  /// Makes the threads use this table from their next turn on. The former one is freed when they have let go of it.
  public func publish(_ table: ForwardingTable) {
    generation += 1
    table.view.pointee.generation = generation
    retired.append((current, until: generation))
    current = table
    shared.pointee.table.store(table.view, ordering: .releasing)
    wakeThreads()
    reclaim()
  }

  /// How many former tables the threads may still look at.
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
    wakes.sending.signal()
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
  public func drops(_ reason: DropReason) -> UInt64 {
    reason == .relayInletFull ? relayInlet.refusals : drops[reason]
  }

  private func reclaim() {
    var acknowledged = generation
    if !running.isEmpty {
      acknowledged = shared.pointee.acknowledged.load(ordering: .acquiring)
      if threads == .onePerDirection {
        acknowledged = min(acknowledged, shared.pointee.acknowledgedByReceiver.load(ordering: .acquiring))
      }
    }
    retired.removeAll { $0.until <= acknowledged }
  }
}
