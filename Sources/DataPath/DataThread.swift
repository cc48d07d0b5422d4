import CLinux
import Glibc
import Synchronization
import Wire

/// What the control side and the data thread both see. Its memory outlives the thread.
struct DataThreadShared: ~Copyable {
  let table: Atomic<UnsafeMutablePointer<ForwardingView>>
  /// The generation of the newest table that the thread uses; it has forgotten all before.
  let acknowledged = Atomic<UInt64>(0)
  let mustEnd = Atomic<Bool>(false)
  /// Wakes the data thread.
  let wake: CInt
  /// Wakes the control side.
  let doorbell: CInt
  let tun: CInt
  let ipv4: CInt
  let ipv6: CInt
  let mtu: Int
  let flows: FlowTableView
  let drops: DropCounters
  let rings: ControlRings
}

/// The data thread: drains the TUN and the sockets in turns, each with a budget, and waits when all are dry.
///
/// It takes one context pointer and touches nothing else. It never allocates after its start, and holds no reference.
func runDataThread(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
  guard let context else { return nil }
  clinux_name_thread("meshd-data")
  let shared = context.assumingMemoryBound(to: DataThreadShared.self)
  let wake = shared.pointee.wake
  let doorbell = shared.pointee.doorbell
  var table = shared.pointee.table.load(ordering: .acquiring)
  shared.pointee.acknowledged.store(table.pointee.generation, ordering: .releasing)
  var send = SendPath(
    tun: shared.pointee.tun, ipv4: shared.pointee.ipv4, ipv6: shared.pointee.ipv6, mtu: shared.pointee.mtu,
    flows: shared.pointee.flows, drops: shared.pointee.drops, rings: shared.pointee.rings)
  var receive = ReceivePath(
    tun: shared.pointee.tun, ipv4: shared.pointee.ipv4, ipv6: shared.pointee.ipv6,
    flows: shared.pointee.flows, drops: shared.pointee.drops, rings: shared.pointee.rings)
  var waits = WaitSet(
    wake: wake, tun: shared.pointee.tun, ipv4: shared.pointee.ipv4, ipv6: shared.pointee.ipv6)

  while !shared.pointee.mustEnd.load(ordering: .acquiring) {
    // Requests first, the table second: a request may rely on a table that was published before it.
    let hasRequests = send.lookForRequests()
    let published = shared.pointee.table.load(ordering: .acquiring)
    var rings = false
    if published != table {
      table = published
      shared.pointee.acknowledged.store(table.pointee.generation, ordering: .releasing)
      rings = true
    }
    let now = Instant.now()
    var progress = hasRequests ? send.serveRequests(table.pointee, at: now) : .dry
    if progress != .blocked {
      let drained = send.drain(table.pointee, at: now)
      if drained != .dry { progress = drained }
    }
    let received = receive.drain(shared, at: now)
    if rings || send.rang || receive.rang {
      clinux_event_signal(doorbell)
      send.clearRing()
      receive.clearRing()
    }
    if !received, progress != .worked {
      waits.wait(readsDevice: send.readsDevice, blocked: send.blockedSockets)
    }
  }
  send.deallocate()
  receive.deallocate()
  return nil
}

/// The descriptors on which the data thread sleeps.
private struct WaitSet {
  private var wake: pollfd
  private var tun: pollfd
  private var ipv4: pollfd
  private var ipv6: pollfd

  init(wake: CInt, tun: CInt, ipv4: CInt, ipv6: CInt) {
    self.wake = pollfd(fd: wake, events: Int16(POLLIN), revents: 0)
    self.tun = pollfd(fd: tun, events: Int16(POLLIN), revents: 0)
    self.ipv4 = pollfd(fd: ipv4, events: Int16(POLLIN), revents: 0)
    self.ipv6 = pollfd(fd: ipv6, events: Int16(POLLIN), revents: 0)
  }

  mutating func wait(readsDevice: Bool, blocked: (ipv4: Bool, ipv6: Bool)) {
    var device = tun
    // `poll` skips negative descriptors. A full socket must not be overtaken by more packets from the device.
    if !readsDevice || blocked.ipv4 || blocked.ipv6 { device.fd = -1 }
    ipv4.events = Int16(blocked.ipv4 ? POLLIN | POLLOUT : POLLIN)
    ipv6.events = Int16(blocked.ipv6 ? POLLIN | POLLOUT : POLLIN)
    var set = (wake, device, ipv4, ipv6)
    let isWoken = withUnsafeMutablePointer(to: &set) { set in
      set.withMemoryRebound(to: pollfd.self, capacity: 4) { set in
        poll(set, 4, -1) > 0 && set[0].revents != 0
      }
    }
    if isWoken { clinux_event_clear(wake.fd) }
  }
}
