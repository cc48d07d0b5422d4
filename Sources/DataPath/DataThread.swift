import CLinux
import Glibc
import Synchronization
import Wire

/// What the control side and the data threads see. Its memory outlives the threads.
struct DataThreadShared: ~Copyable {
  let table: Atomic<UnsafeMutablePointer<ForwardingView>>
  /// The generation of the newest table that the one thread, or the sending one, uses; it has forgotten all before.
  let acknowledged = Atomic<UInt64>(0)
  /// The same of the receiving thread, where there is one.
  let acknowledgedByReceiver = Atomic<UInt64>(0)
  let mustEnd = Atomic<Bool>(false)
  /// Wake the one thread, or the sending one; and the receiving one.
  let wakes: (sending: CInt, receiving: CInt)
  /// Wakes the control side.
  let doorbell: CInt
  let descriptors: DataPath.Descriptors
  /// The raw value of the `Offloads` that work.
  let offloads: Atomic<UInt8>
  /// How often the sockets are to be tried anew.
  let trials = Atomic<UInt64>(0)
  let mtu: Int
  let fragmented: UInt32
  let flows: FlowTableView
  let drops: DropCounters
  let rings: ControlRings

  var sendPath: SendPath {
    SendPath(descriptors, mtu: mtu, fragmented: fragmented, flows: flows, drops: drops, rings: rings)
  }
  var receivePath: ReceivePath { ReceivePath(descriptors, flows: flows, drops: drops, rings: rings) }

  /// The sockets count as those of the beginning again.
  func regain() {
    _ = offloads.bitwiseOr(descriptors.offloads.intersection(.gso).rawValue, ordering: .relaxed)
  }

  /// Strikes out what turned out not to work.
  func lose(_ lost: Offloads) {
    guard offloads.load(ordering: .relaxed) & lost.rawValue != 0 else { return }
    _ = offloads.bitwiseAnd(~lost.rawValue, ordering: .relaxed)
  }
}

// The threads take one context pointer and touch nothing else. They never allocate after their start, and hold no reference.

/// The data thread: drains the TUN and the sockets in turns, each with a budget, and waits when all are dry.
///
/// What is dry is asked of the kernel once a turn, by `poll`, which says it of all at once. Looking at each of them instead until it
/// has nothing costs as many system calls as the packets themselves when they come a few at a time.
func runDataThread(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
  guard var thread = DataThread(context, named: "meshd-data", isReceiver: false) else { return nil }
  var send = thread.shared.pointee.sendPath
  var receive = thread.shared.pointee.receivePath
  var ready = Readiness.nothing
  while thread.mustGoOn {
    // Requests first, the table second: a request may rely on a table that was published before it.
    let hasRequests = send.lookForRequests()
    let isNew = thread.table.refresh()
    if thread.isTrialDue() { send.tryTrainsAgain() }
    let now = Instant.now()
    let isBlocked = turn(&send, hasRequests, ready, thread.table.view, at: now)
    let hasMore = receive.drain(thread.shared, ready, at: now)
    if isNew || send.rang || receive.rang {
      thread.ring()
      send.clearRing()
      receive.clearRing()
    }
    thread.shared.pointee.lose(send.lost.union(receive.lost))
    ready = thread.waits.wait(
      device: send.readsDevice && !isBlocked, sockets: true, blocked: send.blockedSockets, mayWait: !hasMore)
  }
  send.deallocate()
  receive.deallocate()
  return nil
}

/// The sending half of it.
func runSendThread(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
  guard var thread = DataThread(context, named: "meshd-send", isReceiver: false) else { return nil }
  var send = thread.shared.pointee.sendPath
  var ready = Readiness.nothing
  while thread.mustGoOn {
    let hasRequests = send.lookForRequests()
    let isNew = thread.table.refresh()
    if thread.isTrialDue() { send.tryTrainsAgain() }
    let isBlocked = turn(&send, hasRequests, ready, thread.table.view, at: .now())
    if isNew || send.rang {
      thread.ring()
      send.clearRing()
    }
    thread.shared.pointee.lose(send.lost)
    ready = thread.waits.wait(
      device: send.readsDevice && !isBlocked, sockets: false, blocked: send.blockedSockets, mayWait: true)
  }
  send.deallocate()
  return nil
}

/// The receiving half of it.
func runReceiveThread(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
  guard var thread = DataThread(context, named: "meshd-receive", isReceiver: true) else { return nil }
  var receive = thread.shared.pointee.receivePath
  var ready = Readiness.nothing
  while thread.mustGoOn {
    let isNew = thread.table.refresh()
    let hasMore = receive.drain(thread.shared, ready, at: .now())
    if isNew || receive.rang {
      thread.ring()
      receive.clearRing()
    }
    thread.shared.pointee.lose(receive.lost)
    ready = thread.waits.wait(device: false, sockets: true, blocked: (false, false), mayWait: !hasMore)
  }
  receive.deallocate()
  return nil
}

/// What every data thread has: the table that it uses, where it sleeps, and the control side's bell.
private struct DataThread {
  let shared: UnsafeMutablePointer<DataThreadShared>
  var table: ThreadTable
  var waits: WaitSet
  private var trials: UInt64 = 0

  init?(_ context: UnsafeMutableRawPointer?, named name: String, isReceiver: Bool) {
    guard let context else { return nil }
    clinux_name_thread(name)
    shared = context.assumingMemoryBound(to: DataThreadShared.self)
    table = ThreadTable(shared, isReceiver: isReceiver)
    let wakes = shared.pointee.wakes
    waits = WaitSet(wake: isReceiver ? wakes.receiving : wakes.sending, shared.pointee.descriptors)
  }

  var mustGoOn: Bool { !shared.pointee.mustEnd.load(ordering: .acquiring) }

  /// Whether the sockets are to be tried anew. `true` once for each time that it was asked for.
  @inline(__always)
  mutating func isTrialDue() -> Bool {
    let asked = shared.pointee.trials.load(ordering: .relaxed)
    guard asked != trials else { return false }
    trials = asked
    shared.pointee.regain()
    return true
  }

  /// Wakes the control side.
  func ring() { clinux_event_signal(shared.pointee.doorbell) }
}

/// What was asked for, then what the TUN has. `true`: a socket is full.
@inline(__always)
private func turn(
  _ send: inout SendPath, _ hasRequests: Bool, _ ready: Readiness, _ table: UnsafeMutablePointer<ForwardingView>,
  at now: Instant
) -> Bool {
  // While a socket is full, what was asked for waits, and so does the TUN.
  guard send.flush() else { return true }
  if hasRequests, !send.serveRequests(table.pointee, at: now) { return true }
  return ready.device && !send.drain(table.pointee, at: now)
}

/// Which descriptors have something to read.
struct Readiness {
  var device: Bool
  var ipv4: Bool
  var ipv6: Bool

  static let nothing = Readiness(device: false, ipv4: false, ipv6: false)
}

/// The table that a thread uses, and the word in which it says so.
private struct ThreadTable {
  private let shared: UnsafeMutablePointer<DataThreadShared>
  private let isReceiver: Bool
  private(set) var view: UnsafeMutablePointer<ForwardingView>

  init(_ shared: UnsafeMutablePointer<DataThreadShared>, isReceiver: Bool) {
    self.shared = shared
    self.isReceiver = isReceiver
    view = shared.pointee.table.load(ordering: .acquiring)
    acknowledge()
  }

  /// Takes the table that was published last. `true` if it is another one.
  @inline(__always)
  mutating func refresh() -> Bool {
    let published = shared.pointee.table.load(ordering: .acquiring)
    guard published != view else { return false }
    view = published
    acknowledge()
    return true
  }

  private func acknowledge() {
    if isReceiver {
      shared.pointee.acknowledgedByReceiver.store(view.pointee.generation, ordering: .releasing)
    } else {
      shared.pointee.acknowledged.store(view.pointee.generation, ordering: .releasing)
    }
  }
}

/// The descriptors on which a data thread sleeps.
private struct WaitSet {
  private let wake: pollfd
  private let tun: CInt
  private let ipv4: CInt
  private let ipv6: CInt

  init(wake: CInt, _ descriptors: DataPath.Descriptors) {
    self.wake = pollfd(fd: wake, events: Int16(POLLIN), revents: 0)
    tun = descriptors.tun
    ipv4 = descriptors.ipv4 ?? -1
    ipv6 = descriptors.ipv6 ?? -1
  }

  /// Waits for what is wanted: packets on the device, datagrams on the sockets, room in those that are blocked. What is to be read then.
  ///
  /// - Parameter mayWait: otherwise it only looks.
  mutating func wait(device: Bool, sockets: Bool, blocked: (ipv4: Bool, ipv6: Bool), mayWait: Bool) -> Readiness {
    var set = (
      wake, WaitSet.entry(tun, reads: device, writes: false),
      WaitSet.entry(ipv4, reads: sockets, writes: blocked.ipv4),
      WaitSet.entry(ipv6, reads: sockets, writes: blocked.ipv6)
    )
    let count = withUnsafeMutablePointer(to: &set) { set in
      set.withMemoryRebound(to: pollfd.self, capacity: 4) { poll($0, 4, mayWait ? -1 : 0) }
    }
    // Whoever could not be asked is tried.
    guard count >= 0 else {
      return Readiness(device: device, ipv4: sockets && ipv4 >= 0, ipv6: sockets && ipv6 >= 0)
    }
    if set.0.revents != 0 { clinux_event_clear(wake.fd) }
    return Readiness(
      device: WaitSet.isReadable(set.1), ipv4: WaitSet.isReadable(set.2), ipv6: WaitSet.isReadable(set.3))
  }

  /// Or has an error, which reading tells.
  private static func isReadable(_ entry: pollfd) -> Bool { entry.revents & ~Int16(POLLOUT) != 0 }

  /// `poll` skips negative descriptors.
  private static func entry(_ descriptor: CInt, reads: Bool, writes: Bool) -> pollfd {
    pollfd(
      fd: reads || writes ? descriptor : -1, events: Int16((reads ? POLLIN : 0) | (writes ? POLLOUT : 0)), revents: 0)
  }
}
