import CLinux
import Glibc
import Synchronization
import Wire
import WireGuard

/// From the TUN to the network: reads packets, finds their peer, seals them in place and sends them in batches.
///
/// One thread owns it. It shares nothing that it writes with `ReceivePath`, so that each direction can have a thread of its own.
struct SendPath {
  /// Packets read from the TUN before the other direction has its turn.
  static let budget = 64

  enum Progress {
    /// Nothing was there to do.
    case dry
    case worked
    /// A socket is full: nothing is read until it takes more.
    case blocked
  }

  private let tun: CInt
  private let mtu: Int
  private let slots: PacketSlots
  private let flows: FlowTableView
  private let drops: DropCounters
  private let events: PacketRing.Producer
  private let waiting: PacketRing.Producer
  private var requests: PacketRing.Consumer
  private var batch4: DatagramBatch
  private var batch6: DatagramBatch
  private var used = 0
  private var hasDevice = true
  /// The control side has to be woken.
  private(set) var rang = false

  /// A descriptor of -1 stands for a family that this host does not have.
  init(
    tun: CInt, ipv4: CInt, ipv6: CInt, mtu: Int, flows: FlowTableView, drops: DropCounters,
    rings: ControlRings
  ) {
    self.tun = tun
    self.mtu = mtu
    self.flows = flows
    self.drops = drops
    events = rings.sendEvents.producer
    waiting = rings.waiting.producer
    requests = rings.requests.consumer
    slots = PacketSlots(count: SendPath.budget)
    batch4 = DatagramBatch(descriptor: ipv4, capacity: SendPath.budget)
    batch6 = DatagramBatch(descriptor: ipv6, capacity: SendPath.budget)
  }

  func deallocate() {
    slots.deallocate()
    batch4.deallocate()
    batch6.deallocate()
  }

  /// Whether the thread has to wait until a socket takes more.
  var blockedSockets: (ipv4: Bool, ipv6: Bool) { (batch4.count > 0, batch6.count > 0) }
  var readsDevice: Bool { hasDevice }

  mutating func clearRing() { rang = false }

  /// Looks for requests of the control side. Called before the table is read: what was published before a request is then in it.
  mutating func lookForRequests() -> Bool { requests.look() }

  /// Seals what the control side asked for, in its order, before anything newer from the TUN.
  mutating func serveRequests(_ table: ForwardingView, at now: Instant) -> Progress {
    guard flush() else { return .blocked }
    var progress = Progress.dry
    while used < slots.count, let (header, payload) = requests.next() {
      progress = .worked
      guard header.kind == RecordKind.seal, let peer = table.peer(number: header.subject) else { continue }
      if payload.count > 0, let base = payload.baseAddress {
        (slots[used] + TransportMessage.headerLength).copyMemory(from: base, byteCount: payload.count)
      }
      seal(length: payload.count, for: peer, at: now)
    }
    return flush() ? progress : .blocked
  }

  /// Reads, seals and sends until the TUN is dry or the budget is used up.
  mutating func drain(_ table: ForwardingView, at now: Instant) -> Progress {
    guard flush() else { return .blocked }
    guard hasDevice else { return .dry }
    var progress = Progress.dry
    // Dropped packets use no slot, but they count: a flood of them must not keep the other direction waiting.
    for _ in 0..<SendPath.budget {
      let packet = slots[used] + TransportMessage.headerLength
      let count = read(tun, packet, PacketSlots.size - TransportMessage.overhead)
      if count <= 0 {
        if count < 0, errno != EAGAIN, errno != EINTR { loseDevice(errno) }
        break
      }
      progress = .worked
      route(packet, count, table, at: now)
    }
    return flush() ? progress : .blocked
  }

  private mutating func route(
    _ packet: UnsafeMutableRawPointer, _ count: Int, _ table: ForwardingView, at now: Instant
  ) {
    guard let header = PacketHeader(packet, count: count) else { return drops.count(.outboundMalformed) }
    let owner = table.owner(of: header.destination, isIPv4: header.isIPv4)
    guard owner != AllowedIPsView.nobody, let peer = table.peer(number: owner) else { return drops.count(.noPeer) }
    if !table.filter.acceptsEverything {
      let kind = PacketKind(packet, header)
      if kind.number == PacketKind.udp || kind.number == PacketKind.sctp {
        flows.record(header, kind, at: now.nanoseconds / 1_000_000_000)
      }
    }
    seal(length: header.length, for: peer, at: now)
  }

  /// Seals the packet that lies in the next slot, behind the room for a message header, and adds it to a batch.
  private mutating func seal(length: Int, for peer: UnsafePointer<ForwardingView.PeerEntry>, at now: Instant) {
    let datagram = slots[used]
    let packet = datagram + TransportMessage.headerLength
    guard let key = peer.pointee.sealing, let counter = key.pointee.takeCounters(at: now) else {
      // A keepalive without a session keeps nothing alive.
      guard length > 0 else { return }
      rang = true
      let isKept = waiting.push(
        kind: RecordKind.packetWithoutSession, subject: peer.pointee.id.number,
        value: peer.pointee.sealing?.pointee.session.number ?? 0,
        payload: UnsafeRawBufferPointer(start: packet, count: length))
      if !isKept { drops.count(.waitingQueueFull) }
      return
    }
    let padded = TransportMessage.paddedLength(of: length, mtu: mtu)
    if padded > length { memset(packet + length, 0, padded &- length) }
    key.pointee.seal(packet, count: padded, counter: counter, into: datagram)
    let total = padded &+ TransportMessage.overhead
    let words = peer.pointee.words
    switch Int32(peer.pointee.address.family) {
    case AF_INET where batch4.descriptor >= 0: batch4.add(datagram, length: total, to: peer.pointee.address)
    case AF_INET6 where batch6.descriptor >= 0: batch6.add(datagram, length: total, to: peer.pointee.address)
    default: return drops.count(.noEndpoint)
    }
    used &+= 1
    words.pointee.sentBytes.store(
      words.pointee.sentBytes.load(ordering: .relaxed) &+ UInt64(total), ordering: .relaxed)
    if words.pointee.traffic.recordSent(isData: length > 0, at: now) {
      tell(RecordKind.dataSent, peer, value: now.nanoseconds)
    }
    if length > 0, key.pointee.wantsRekey(at: now) {
      tell(RecordKind.wantsRekey, peer, value: key.pointee.session.number)
    }
  }

  private mutating func flush() -> Bool {
    let done4 = batch4.flush(drops)
    let done6 = batch6.flush(drops)
    if done4, done6 { used = 0 }
    return done4 && done6
  }

  private mutating func loseDevice(_ number: CInt) {
    hasDevice = false
    _ = events.push(kind: RecordKind.deviceLost, detail: UInt32(bitPattern: number))
    rang = true
  }

  private mutating func tell(
    _ kind: UInt32, _ peer: UnsafePointer<ForwardingView.PeerEntry>, value: UInt64
  ) {
    rang = true
    _ = events.push(kind: kind, subject: peer.pointee.id.number, value: value)
  }
}
