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
  let mtu: Int
  let fragmented: UInt32
  let flows: FlowTableView
  let drops: DropCounters
  let rings: ControlRings

  var sendPath: SendPath {
    SendPath(descriptors, mtu: mtu, fragmented: fragmented, flows: flows, drops: drops, rings: rings)
  }
  var receivePath: ReceivePath { ReceivePath(descriptors, flows: flows, drops: drops, rings: rings) }

  /// Strikes out what turned out not to work.
  func lose(_ lost: Offloads) {
    guard offloads.load(ordering: .relaxed) & lost.rawValue != 0 else { return }
    _ = offloads.bitwiseAnd(~lost.rawValue, ordering: .relaxed)
  }
}

// The threads take one context pointer and touch nothing else. They never allocate after their start, and hold no reference.

/// The data thread: drains the TUN and the sockets in turns, each with a budget, and waits when all are dry.
func runDataThread(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
  guard var thread = DataThread(context, named: "meshd-data", isReceiver: false) else { return nil }
  var send = thread.shared.pointee.sendPath
  var receive = thread.shared.pointee.receivePath
  while thread.mustGoOn {
    // Requests first, the table second: a request may rely on a table that was published before it.
    let hasRequests = send.lookForRequests()
    let isNew = thread.table.refresh()
    let now = Instant.now()
    let sent = turn(&send, hasRequests, thread.table.view, at: now)
    let received = receive.drain(thread.shared, at: now)
    if isNew || send.rang || receive.rang {
      thread.ring()
      send.clearRing()
      receive.clearRing()
    }
    if !received, sent != .worked {
      thread.shared.pointee.lose(send.lost.union(receive.lost))
      thread.waits.wait(device: send.readsDevice && sent != .blocked, sockets: true, blocked: send.blockedSockets)
    }
  }
  send.deallocate()
  receive.deallocate()
  return nil
}

/// The sending half of it.
func runSendThread(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
  guard var thread = DataThread(context, named: "meshd-send", isReceiver: false) else { return nil }
  var send = thread.shared.pointee.sendPath
  while thread.mustGoOn {
    let hasRequests = send.lookForRequests()
    let isNew = thread.table.refresh()
    let sent = turn(&send, hasRequests, thread.table.view, at: .now())
    if isNew || send.rang {
      thread.ring()
      send.clearRing()
    }
    if sent != .worked {
      thread.shared.pointee.lose(send.lost)
      thread.waits.wait(device: send.readsDevice && sent != .blocked, sockets: false, blocked: send.blockedSockets)
    }
  }
  send.deallocate()
  return nil
}

/// The receiving half of it.
func runReceiveThread(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
  guard var thread = DataThread(context, named: "meshd-receive", isReceiver: true) else { return nil }
  var receive = thread.shared.pointee.receivePath
  while thread.mustGoOn {
    let isNew = thread.table.refresh()
    let received = receive.drain(thread.shared, at: .now())
    if isNew || receive.rang {
      thread.ring()
      receive.clearRing()
    }
    if !received {
      thread.shared.pointee.lose(receive.lost)
      thread.waits.wait(device: false, sockets: true, blocked: (false, false))
    }
  }
  receive.deallocate()
  return nil
}

/// What every data thread has: the table that it uses, where it sleeps, and the control side's bell.
private struct DataThread {
  let shared: UnsafeMutablePointer<DataThreadShared>
  var table: ThreadTable
  var waits: WaitSet

  init?(_ context: UnsafeMutableRawPointer?, named name: String, isReceiver: Bool) {
    guard let context else { return nil }
    clinux_name_thread(name)
    shared = context.assumingMemoryBound(to: DataThreadShared.self)
    table = ThreadTable(shared, isReceiver: isReceiver)
    let wakes = shared.pointee.wakes
    waits = WaitSet(wake: isReceiver ? wakes.receiving : wakes.sending, shared.pointee.descriptors)
  }

  var mustGoOn: Bool { !shared.pointee.mustEnd.load(ordering: .acquiring) }

  /// Wakes the control side.
  func ring() { clinux_event_signal(shared.pointee.doorbell) }
}

/// What was asked for, then what the TUN has.
@inline(__always)
private func turn(
  _ send: inout SendPath, _ hasRequests: Bool, _ table: UnsafeMutablePointer<ForwardingView>, at now: Instant
) -> SendPath.Progress {
  var progress = hasRequests ? send.serveRequests(table.pointee, at: now) : .dry
  if progress != .blocked {
    let drained = send.drain(table.pointee, at: now)
    if drained != .dry { progress = drained }
  }
  return progress
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

  /// Waits for what is wanted: packets on the device, datagrams on the sockets, room in those that are blocked.
  mutating func wait(device: Bool, sockets: Bool, blocked: (ipv4: Bool, ipv6: Bool)) {
    var set = (
      wake, WaitSet.entry(tun, reads: device, writes: false),
      WaitSet.entry(ipv4, reads: sockets, writes: blocked.ipv4),
      WaitSet.entry(ipv6, reads: sockets, writes: blocked.ipv6)
    )
    let isWoken = withUnsafeMutablePointer(to: &set) { set in
      set.withMemoryRebound(to: pollfd.self, capacity: 4) { set in
        poll(set, 4, -1) > 0 && set[0].revents != 0
      }
    }
    if isWoken { clinux_event_clear(wake.fd) }
  }

  /// `poll` skips negative descriptors.
  private static func entry(_ descriptor: CInt, reads: Bool, writes: Bool) -> pollfd {
    pollfd(
      fd: reads || writes ? descriptor : -1, events: Int16((reads ? POLLIN : 0) | (writes ? POLLOUT : 0)), revents: 0)
  }
}
