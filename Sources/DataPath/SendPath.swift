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

  /// Sealed bytes after which they are sent, though the TUN may have more: one full train.
  private static let enough = 65_536
  /// Room for sealed datagrams, and how much of it one packet may take that the kernel left to be cut.
  private static let roomSize = 512 << 10
  private static let roomForSuperPacket = 160 << 10
  /// Packets in a row that may be unreadable before the device is given up.
  private static let patience = 1000

  let tun: CInt
  let hasHeaders: Bool
  private let mtu: Int
  let inbox: PacketInbox
  private let room: UnsafeMutableRawPointer
  private let flows: FlowTableView
  let drops: DropCounters
  private let events: PacketRing.Producer
  private let waiting: PacketRing.Producer
  private let relayed: PacketRing.Producer
  private var requests: PacketRing.Consumer
  private var trains4: DatagramTrains
  private var trains6: DatagramTrains
  /// What tells the fragments of one packet from those of another.
  var fragmented: UInt32
  /// Bytes of `room` that hold datagrams on their way.
  private var used = 0
  private var hasDevice = true
  /// Packets in a row that the kernel could not hand over.
  private var unreadable = 0
  /// The control side has to be woken.
  private(set) var rang = false

  /// - Parameter fragmented: where the numbers of fragmented packets begin.
  init(
    _ descriptors: DataPath.Descriptors, mtu: Int, fragmented: UInt32, flows: FlowTableView, drops: DropCounters,
    rings: ControlRings
  ) {
    tun = descriptors.tun
    self.fragmented = fragmented
    hasHeaders = descriptors.hasHeaders
    self.mtu = mtu
    self.flows = flows
    self.drops = drops
    events = rings.sendEvents.producer
    waiting = rings.waiting.producer
    relayed = rings.relayed.producer
    requests = rings.requests.consumer
    inbox = PacketInbox()
    room = .allocate(byteCount: SendPath.roomSize, alignment: 64)
    let makesTrains = descriptors.offloads.contains(.gso)
    trains4 = DatagramTrains(descriptor: descriptors.ipv4 ?? -1, makesTrains: makesTrains)
    trains6 = DatagramTrains(descriptor: descriptors.ipv6 ?? -1, makesTrains: makesTrains)
  }

  func deallocate() {
    inbox.deallocate()
    room.deallocate()
    trains4.deallocate()
    trains6.deallocate()
  }

  /// What a socket turned out not to do.
  var lost: Offloads {
    let isLost =
      (trains4.descriptor >= 0 && !trains4.makesTrains) || (trains6.descriptor >= 0 && !trains6.makesTrains)
    return isLost ? .gso : []
  }

  mutating func tryTrainsAgain() {
    trains4.tryAgain()
    trains6.tryAgain()
  }

  /// Whether the thread has to wait until a socket takes more.
  var blockedSockets: (ipv4: Bool, ipv6: Bool) { (trains4.count > 0, trains6.count > 0) }
  var readsDevice: Bool { hasDevice }

  mutating func clearRing() { rang = false }

  /// Looks for requests of the control side. Called before the table is read: what was published before a request is then in it.
  mutating func lookForRequests() -> Bool { requests.look() }

  /// Seals what the control side asked for, in its order, before anything newer from the TUN. `false`: a socket is full.
  mutating func serveRequests(_ table: ForwardingView, at now: Instant) -> Bool {
    while hasRoom || flush(), let (header, payload) = requests.next() {
      guard header.kind == RecordKind.seal, let peer = table.peer(number: header.subject),
        payload.count <= PacketInbox.capacity
      else { continue }
      if payload.count > 0, let base = payload.baseAddress {
        inbox.packet.copyMemory(from: base, byteCount: payload.count)
      }
      send(inbox.packet, payload.count, to: peer, at: now)
    }
    return flush()
  }

  /// Reads, seals and sends until the TUN is dry or the budget is used up. `false`: a socket is full, and nothing is read until it takes
  /// more.
  mutating func drain(_ table: ForwardingView, at now: Instant) -> Bool {
    guard hasDevice else { return true }
    let headerLength = hasHeaders ? VirtioHeader.length : 0
    // Dropped packets need no room, but they count: a flood of them must not keep the other direction waiting.
    for _ in 0..<SendPath.budget {
      if used >= SendPath.enough || !hasRoom, !flush() { return false }
      let count = read(tun, inbox.packet - headerLength, PacketInbox.capacity &+ headerLength)
      if count <= 0 {
        if count < 0, errno != EAGAIN, errno != EINTR { failReading(errno) }
        break
      }
      unreadable = 0
      route(count &- headerLength, table, at: now)
    }
    return flush()
  }

  /// Sends the packet in the inbox to whom its destination belongs.
  private mutating func route(_ count: Int, _ table: ForwardingView, at now: Instant) {
    let packet = inbox.packet
    guard let header = PacketHeader(packet, count: count) else { return drops.count(.outboundMalformed) }
    let owner = table.owner(of: header.destination, isIPv4: header.isIPv4)
    guard owner != AllowedIPsView.nobody, let peer = table.peer(number: owner) else { return drops.count(.noPeer) }
    if !table.filter.acceptsEverything {
      let kind = PacketKind(packet, header)
      if kind.number == PacketKind.udp || kind.number == PacketKind.sctp {
        flows.record(header, kind, at: now.nanoseconds / 1_000_000_000)
      }
    }
    guard hasHeaders else { return send(packet, header.length, to: peer, at: now) }
    let virtio = VirtioHeader(reading: packet - VirtioHeader.length)
    if virtio.kind != VirtioHeader.none {
      guard let segments = SuperPacket(packet, length: count, virtio, scratch: inbox.scratch) else {
        return drops.count(.outboundMalformed)
      }
      return send(segments, to: peer, at: now)
    }
    if virtio.needsChecksum, !SuperPacket.completeChecksum(packet, length: header.length, virtio) {
      return drops.count(.outboundMalformed)
    }
    send(packet, header.length, to: peer, at: now)
  }

  // MARK: Sealing

  /// Seals one packet; an empty one is a keepalive.
  mutating func send(
    _ packet: UnsafeMutableRawPointer, _ length: Int, to peer: UnsafePointer<ForwardingView.PeerEntry>, at now: Instant
  ) {
    guard let key = peer.pointee.sealing else { return keep(packet, length, for: peer) }
    guard length <= peer.pointee.innerLimit else { return fit(packet, length, to: peer, at: now) }
    guard let counter = key.pointee.takeCounters(at: now) else { return keep(packet, length, for: peer) }
    guard hasWay(to: peer) else { return drops.count(.noEndpoint) }
    guard makesRoom(for: length) else { return }
    let sent = seal(packet, length, key, counter, for: peer)
    note(sent, isData: length > 0, key, peer, at: now)
  }

  /// Seals the segments of a super-packet, under counters in a row.
  private mutating func send(
    _ superPacket: SuperPacket, to peer: UnsafePointer<ForwardingView.PeerEntry>, at now: Instant
  ) {
    var segments = superPacket
    if segments.segmentLength > peer.pointee.innerLimit, peer.pointee.sealing != nil,
      !segments.isTCP || !segments.shorten(to: peer.pointee.innerLimit)
    {
      while let segment = segments.next() { send(segment.packet, segment.length, to: peer, at: now) }
      return
    }
    guard let key = peer.pointee.sealing, var counter = key.pointee.takeCounters(segments.count, at: now) else {
      while let segment = segments.next() { keep(segment.packet, segment.length, for: peer) }
      return
    }
    guard hasWay(to: peer) else { return drops.count(.noEndpoint, segments.count) }
    var sent = 0
    while let segment = segments.next() {
      // Only segments that are far smaller than the MTU need more room than was there at the beginning.
      if makesRoom(for: segment.length) { sent = sent &+ seal(segment.packet, segment.length, key, counter, for: peer) }
      counter &+= 1
    }
    note(sent, isData: true, key, peer, at: now)
  }

  /// What sealing adds at most: padding, header and tag.
  private static let greatestGrowth = 16 + TransportMessage.overhead

  /// Whether a packet of this length can be sealed now. If not, it is counted.
  @inline(__always)
  private mutating func makesRoom(for length: Int) -> Bool {
    if SendPath.roomSize &- used < length &+ SendPath.greatestGrowth || trains4.isFull || trains6.isFull, !flush() {
      drops.count(.sendQueueFull)
      return false
    }
    return true
  }

  private var hasRoom: Bool {
    SendPath.roomSize &- used >= SendPath.roomForSuperPacket && !trains4.isFull && !trains6.isFull
  }

  @inline(__always)
  private func hasWay(to peer: UnsafePointer<ForwardingView.PeerEntry>) -> Bool {
    hasSocket(for: peer) || peer.pointee.viaRelay
  }

  @inline(__always)
  private func hasSocket(for peer: UnsafePointer<ForwardingView.PeerEntry>) -> Bool {
    switch Int32(peer.pointee.address.family) {
    case AF_INET: trains4.descriptor >= 0
    case AF_INET6: trains6.descriptor >= 0
    default: false
    }
  }

  /// Seals a packet into the room, from where it goes to the peer's address, or to a relay, or both. The 16 bytes behind it are
  /// written over, and put back. The datagram's length; 0 if it went nowhere, and was counted.
  @inline(__always)
  private mutating func seal(
    _ packet: UnsafeMutableRawPointer, _ length: Int, _ key: UnsafeMutablePointer<SealingKey>, _ counter: UInt64,
    for peer: UnsafePointer<ForwardingView.PeerEntry>
  ) -> Int {
    let datagram = room + used
    // Padding must not make it longer than the way takes.
    let padded = TransportMessage.paddedLength(of: length, mtu: min(mtu, peer.pointee.innerLimit))
    let total = padded &+ TransportMessage.overhead
    let hasSocket = hasSocket(for: peer)
    // What the relay would not get is not worth sealing.
    guard hasSocket || relayed.fits(total) else {
      drops.count(.relayQueueFull)
      return 0
    }
    if padded > length {
      let behind = packet.loadUnaligned(fromByteOffset: length, as: UInt128.self)
      packet.storeBytes(of: 0, toByteOffset: length, as: UInt128.self)
      key.pointee.seal(packet, count: padded, counter: counter, into: datagram)
      packet.storeBytes(of: behind, toByteOffset: length, as: UInt128.self)
    } else {
      key.pointee.seal(packet, count: padded, counter: counter, into: datagram)
    }
    if peer.pointee.viaRelay { passToRelay(datagram, total, for: peer) }
    // Otherwise the next one takes its place.
    guard hasSocket else { return total }
    let address = ForwardingView.PeerEntry.address(of: peer)
    if Int32(address.pointee.family) == AF_INET {
      trains4.add(datagram, length: total, to: address)
    } else {
      trains6.add(datagram, length: total, to: address)
    }
    used = used &+ total
    return total
  }

  private mutating func passToRelay(
    _ datagram: UnsafeMutableRawPointer, _ length: Int, for peer: UnsafePointer<ForwardingView.PeerEntry>
  ) {
    rang = true
    let isTaken = relayed.push(
      kind: RecordKind.relayed, subject: peer.pointee.id.number,
      payload: UnsafeRawBufferPointer(start: datagram, count: length))
    if !isTaken { drops.count(.relayQueueFull) }
  }

  /// What the timers and the counters have to know of packets that were sealed at the same time.
  private mutating func note(
    _ bytes: Int, isData: Bool, _ key: UnsafeMutablePointer<SealingKey>,
    _ peer: UnsafePointer<ForwardingView.PeerEntry>, at now: Instant
  ) {
    guard bytes > 0 else { return }
    let words = peer.pointee.words
    words.pointee.sentBytes.store(
      words.pointee.sentBytes.load(ordering: .relaxed) &+ UInt64(truncatingIfNeeded: bytes), ordering: .relaxed)
    if words.pointee.traffic.recordSent(isData: isData, at: now),
      !tell(RecordKind.dataSent, peer.pointee.id.number, value: now.nanoseconds)
    {
      words.pointee.traffic.rearmSent()
    }
    if isData, key.pointee.wantsRekey(at: now),
      tell(RecordKind.wantsRekey, peer.pointee.id.number, value: key.pointee.session.number)
    {
      key.pointee.rekeyIsTold()
    }
  }

  /// Gives the control side a packet that waits for a session.
  private mutating func keep(
    _ packet: UnsafeMutableRawPointer, _ length: Int, for peer: UnsafePointer<ForwardingView.PeerEntry>
  ) {
    // A keepalive without a session keeps nothing alive.
    guard length > 0 else { return }
    rang = true
    let isKept = waiting.push(
      kind: RecordKind.packetWithoutSession, subject: peer.pointee.id.number,
      value: peer.pointee.sealing?.pointee.session.number ?? 0,
      payload: UnsafeRawBufferPointer(start: packet, count: length))
    if !isKept { drops.count(.waitingQueueFull) }
  }

  /// Sends what is sealed. `false`: a socket is full, and the rest waits.
  mutating func flush() -> Bool {
    let done4 = trains4.flush(drops)
    let done6 = trains6.flush(drops)
    if done4, done6 { used = 0 }
    return done4 && done6
  }

  /// A packet that the kernel cannot describe, or has no memory for, is that packet's trouble; that the device is gone is everybody's.
  private mutating func failReading(_ number: CInt) {
    unreadable = unreadable &+ 1
    switch number {
    case EBADF, EBADFD, ENODEV, ENXIO, EFAULT: break
    default: if unreadable < SendPath.patience { return drops.count(.outboundUnreadable) }
    }
    // Without room for it the device is read again, and fails again.
    hasDevice = !tell(RecordKind.deviceLost, detail: UInt32(bitPattern: number))
  }

  /// Whether there was room for it. If not, it is counted, and has to be told later.
  private mutating func tell(_ kind: UInt32, _ peer: UInt32 = 0, detail: UInt32 = 0, value: UInt64 = 0) -> Bool {
    rang = true
    let isKept = events.push(kind: kind, subject: peer, detail: detail, value: value)
    if !isKept { drops.count(.outboundEventQueueFull) }
    return isKept
  }
}

/// Where a packet from the TUN lies while it is cut and sealed: room for its header before it, and for padding behind it.
struct PacketInbox {
  /// The longest packet, which the kernel may have left to be cut.
  static let capacity = 65_536
  private static let before = 64

  private let memory: UnsafeMutableRawPointer

  init() {
    memory = .allocate(
      byteCount: 2 * (PacketInbox.before + PacketInbox.capacity + 64) + SuperPacket.longestHeader, alignment: 64)
  }

  func deallocate() { memory.deallocate() }

  var packet: UnsafeMutableRawPointer { memory + PacketInbox.before }
  /// The same room for a packet that is made of it.
  var piece: UnsafeMutableRawPointer { packet + PacketInbox.capacity + 64 + PacketInbox.before }
  /// For the headers of a packet that is being cut.
  var scratch: UnsafeMutableRawPointer { piece + PacketInbox.capacity + 64 }
}
