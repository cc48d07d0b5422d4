import CLinux
import Glibc
import Synchronization
import Wire
import WireGuard

/// From the network to the TUN: receives datagrams in batches, opens them in place, checks what came out and delivers it.
///
/// One thread owns it. It shares nothing that it writes with `SendPath`, so that each direction can have a thread of its own.
struct ReceivePath {
  /// Datagrams of one system call.
  static let batchSize = 64
  /// System calls before the other direction has its turn.
  static let budget = 8
  /// What the control side is shown of protocol 99, in bytes.
  static let longestNotice = 128

  private let slots: PacketSlots
  private let flows: FlowTableView
  private let drops: DropCounters
  private let events: PacketRing.Producer
  private let handshakes: PacketRing.Producer
  private let probes: PacketRing.Producer
  private var fromRelays: PacketRing.Consumer
  private var batch4: DatagramBatch
  private var batch6: DatagramBatch
  private var coalescer: Coalescer
  /// The control side has to be woken.
  private(set) var rang = false

  init(_ descriptors: DataPath.Descriptors, flows: FlowTableView, drops: DropCounters, rings: ControlRings) {
    self.flows = flows
    self.drops = drops
    events = rings.receiveEvents.producer
    handshakes = rings.handshakes.producer
    probes = rings.probes.producer
    fromRelays = rings.fromRelays.consumer
    slots = PacketSlots(count: ReceivePath.batchSize)
    let takesTrains = descriptors.offloads.contains(.gro)
    batch4 = DatagramBatch(descriptor: descriptors.ipv4 ?? -1, slots: slots, takesTrains: takesTrains)
    batch6 = DatagramBatch(descriptor: descriptors.ipv6 ?? -1, slots: slots, takesTrains: takesTrains)
    coalescer = Coalescer(
      tun: descriptors.tun, hasHeaders: descriptors.hasHeaders, offloads: descriptors.offloads, drops: drops)
  }

  func deallocate() {
    slots.deallocate()
    batch4.deallocate()
    batch6.deallocate()
    coalescer.deallocate()
  }

  /// What the device turned out not to take.
  var lost: Offloads {
    var lost: Offloads = []
    if !coalescer.joinsTCP { lost.insert(.tso) }
    if !coalescer.joinsUDP { lost.insert(.uso) }
    return lost
  }

  mutating func clearRing() { rang = false }

  /// Receives, opens and delivers until the sockets that have something are dry or the budget is used up, and some of what came over
  /// relays. `false`: what is left, and whatever comes from now on, ends a wait.
  mutating func drain(
    _ shared: UnsafeMutablePointer<DataThreadShared>, _ ready: Readiness, at now: Instant
  ) -> Bool {
    let hasRelayed = drainRelays(shared, at: now)
    var isDry4 = !ready.ipv4
    var isDry6 = !ready.ipv6
    for _ in 0..<ReceivePath.budget {
      if isDry4, isDry6 { break }
      if !isDry4 {
        let count = batch4.receive(drops)
        // Read after the batch: a session that was published before its handshake was answered is then in the table of
        // whatever the peer sent under it.
        if count > 0 { take(batch4, count, shared.pointee.table.load(ordering: .acquiring).pointee, at: now) }
        isDry4 = count < ReceivePath.batchSize
      }
      if !isDry6 {
        let count = batch6.receive(drops)
        if count > 0 { take(batch6, count, shared.pointee.table.load(ordering: .acquiring).pointee, at: now) }
        isDry6 = count < ReceivePath.batchSize
      }
    }
    return hasRelayed || !fromRelays.mayWait()
  }

  /// Takes a batch of what came over relays. `false`: there was nothing.
  private mutating func drainRelays(_ shared: UnsafeMutablePointer<DataThreadShared>, at now: Instant) -> Bool {
    guard fromRelays.look() else { return false }
    let table = shared.pointee.table.load(ordering: .acquiring).pointee
    for index in 0..<ReceivePath.batchSize {
      guard let (_, message) = fromRelays.next(), let base = message.baseAddress else { break }
      // The ring's memory is taken back before the packet is written.
      slots[index].copyMemory(from: base, byteCount: message.count)
      take(slots[index], message.count, nil, table, at: now)
    }
    coalescer.flush()
    return true
  }

  /// Takes the messages of a batch, each a datagram or a train of them. Nothing of them is needed afterwards.
  private mutating func take(_ batch: DatagramBatch, _ count: Int, _ table: ForwardingView, at now: Instant) {
    for index in 0..<count {
      let length = batch.length(index)
      let datagramLength = batch.datagramLength(index)
      var offset = 0
      while offset < length {
        let size = min(datagramLength, length &- offset)
        take(slots[index] + offset, size, batch.source(index), table, at: now)
        offset = offset &+ size
      }
    }
    coalescer.flush()
  }

  /// - Parameter source: `nil` for one that came over a relay.
  @inline(__always)
  private mutating func take(
    _ datagram: UnsafeMutableRawPointer, _ count: Int, _ source: UnsafePointer<clinux_address>?,
    _ table: ForwardingView, at now: Instant
  ) {
    guard TransportMessage.isTransport(datagram, count: count) else {
      guard let source else { return drops.count(.foreignDatagram) }
      return passToControl(datagram, count, source)
    }
    guard let key = table.session(index: TransportMessage.receiverIndex(of: datagram)),
      let peer = table.peer(number: key.pointee.peer.number)
    else { return drops.count(.noSession) }
    let padded: Int
    switch key.pointee.open(datagram, count: count, at: now) {
    case .opened(let length): padded = length
    case .notAuthentic: return drops.count(.notAuthentic)
    case .replayed: return drops.count(.replayed)
    case .expired: return drops.count(.noSession)
    }
    if TransportMessage.counter(of: datagram) != key.pointee.greatestCounter {
      let late = peer.pointee.words
      late.pointee.receivedOutOfOrder.store(
        late.pointee.receivedOutOfOrder.load(ordering: .relaxed) &+ 1, ordering: .relaxed)
    }
    note(count, isData: padded > 0, peer, source, key, table.generation, at: now)
    if padded > 0 { deliver(datagram + TransportMessage.headerLength, padded, from: peer, table, at: now) }
  }

  /// A packet of the peer authenticated.
  private mutating func note(
    _ count: Int, isData: Bool, _ peer: UnsafePointer<ForwardingView.PeerEntry>,
    _ source: UnsafePointer<clinux_address>?, _ key: UnsafeMutablePointer<OpeningKey>,
    _ generation: UInt64, at now: Instant
  ) {
    let words = peer.pointee.words
    words.pointee.receivedBytes.store(
      words.pointee.receivedBytes.load(ordering: .relaxed) &+ UInt64(count), ordering: .relaxed)
    words.pointee.lastReceived.store(now.nanoseconds, ordering: .relaxed)
    // Told first: the confirmed session then seals the answers to what follows.
    if key.pointee.confirmsSession, tell(RecordKind.confirmed, peer, value: key.pointee.session.number) {
      key.pointee.confirmationIsTold()
    }
    if let source, sameAddress(source, ForwardingView.PeerEntry.address(of: peer)) {
      words.pointee.lastReceivedDirectly.store(now.nanoseconds, ordering: .relaxed)
    } else if let source, words.pointee.sourceReports.isDue(source, generation: generation, at: now) {
      // Without room it is due again in a while.
      _ = tell(
        RecordKind.sourceChanged, peer,
        payload: UnsafeRawBufferPointer(start: source, count: MemoryLayout<clinux_address>.size))
    }
    if words.pointee.traffic.recordReceived(isData: isData, at: now),
      !tell(RecordKind.dataReceived, peer, value: now.nanoseconds)
    {
      words.pointee.traffic.rearmReceived()
    }
    if key.pointee.wantsRekey(at: now), tell(RecordKind.wantsRekey, peer, value: key.pointee.session.number) {
      key.pointee.rekeyIsTold()
    }
  }

  private mutating func deliver(
    _ packet: UnsafeMutableRawPointer, _ padded: Int, from peer: UnsafePointer<ForwardingView.PeerEntry>,
    _ table: ForwardingView, at now: Instant
  ) {
    guard let header = PacketHeader(packet, count: padded) else { return drops.count(.inboundMalformed) }
    // The longest match decides: a prefix of this peer around the address is not enough.
    guard table.owner(of: header.source, isIPv4: header.isIPv4) == peer.pointee.id.number else {
      return drops.count(.foreignSource)
    }
    guard table.isOwn(header.destination, isIPv4: header.isIPv4) else { return drops.count(.foreignDestination) }
    guard header.next != PacketKind.notice else { return passNotice(packet, header.length, from: peer) }
    guard table.filter.admits(packet, header, flows: flows, at: now.nanoseconds / 1_000_000_000) else {
      return drops.count(.filtered)
    }
    coalescer.add(packet, length: header.length, isIPv4: header.isIPv4)
  }

  private mutating func passNotice(
    _ packet: UnsafeRawPointer, _ count: Int, from peer: UnsafePointer<ForwardingView.PeerEntry>
  ) {
    guard count <= ReceivePath.longestNotice else { return drops.count(.noticeTooLong) }
    rang = true
    let payload = UnsafeRawBufferPointer(start: packet, count: count)
    // Beside disco, and not among the events: a peer that talks too much pushes out none of them.
    if !probes.push(kind: RecordKind.notice, subject: peer.pointee.id.number, payload: payload) {
      drops.count(.probeQueueFull)
    }
  }

  /// Only what has the form of a handshake message or a cookie reply, of disco or of STUN is worth the control side's time.
  private mutating func passToControl(
    _ datagram: UnsafeMutableRawPointer, _ count: Int, _ source: UnsafePointer<clinux_address>
  ) {
    switch ControlDatagram(datagram, count: count) {
    case .handshake: pass(datagram, count, source, RecordKind.handshake, to: handshakes, else: .handshakeQueueFull)
    case .disco: pass(datagram, count, source, RecordKind.disco, to: probes, else: .probeQueueFull)
    case .stun: pass(datagram, count, source, RecordKind.stun, to: probes, else: .probeQueueFull)
    case nil: drops.count(.foreignDatagram)
    }
  }

  private mutating func pass(
    _ datagram: UnsafeMutableRawPointer, _ count: Int, _ source: UnsafePointer<clinux_address>, _ kind: UInt32,
    to ring: PacketRing.Producer, else reason: DropReason
  ) {
    rang = true
    let isKept = ring.push(
      kind: kind, prefix: UnsafeRawBufferPointer(start: source, count: MemoryLayout<clinux_address>.size),
      payload: UnsafeRawBufferPointer(start: datagram, count: count))
    if !isKept { drops.count(reason) }
  }

  /// Whether there was room for it. If not, it is counted, and has to be told with a later packet.
  private mutating func tell(
    _ kind: UInt32, _ peer: UnsafePointer<ForwardingView.PeerEntry>, value: UInt64 = 0,
    payload: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0)
  ) -> Bool {
    rang = true
    let isKept = events.push(kind: kind, subject: peer.pointee.id.number, value: value, payload: payload)
    if !isKept { drops.count(.inboundEventQueueFull) }
    return isKept
  }
}
