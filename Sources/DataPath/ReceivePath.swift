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

  private let tun: CInt
  private let slots: PacketSlots
  private let flows: FlowTableView
  private let drops: DropCounters
  private let events: PacketRing.Producer
  private let handshakes: PacketRing.Producer
  private var batch4: DatagramBatch
  private var batch6: DatagramBatch
  /// The control side has to be woken.
  private(set) var rang = false

  /// A descriptor of -1 stands for a family that this host does not have.
  init(
    tun: CInt, ipv4: CInt, ipv6: CInt, flows: FlowTableView, drops: DropCounters, rings: ControlRings
  ) {
    self.tun = tun
    self.flows = flows
    self.drops = drops
    events = rings.receiveEvents.producer
    handshakes = rings.handshakes.producer
    slots = PacketSlots(count: ReceivePath.batchSize)
    batch4 = DatagramBatch(descriptor: ipv4, capacity: ReceivePath.batchSize)
    batch6 = DatagramBatch(descriptor: ipv6, capacity: ReceivePath.batchSize)
  }

  func deallocate() {
    slots.deallocate()
    batch4.deallocate()
    batch6.deallocate()
  }

  mutating func clearRing() { rang = false }

  /// Receives, opens and delivers until both sockets are dry or the budget is used up. `false`: there was nothing.
  mutating func drain(_ shared: UnsafeMutablePointer<DataThreadShared>, at now: Instant) -> Bool {
    var worked = false
    var isDry4 = batch4.descriptor < 0
    var isDry6 = batch6.descriptor < 0
    for _ in 0..<ReceivePath.budget {
      if !isDry4 {
        let count = batch4.receive(into: slots)
        // Read after the batch: a session that was published before its handshake was answered is then in the table of
        // whatever the peer sent under it.
        let table = shared.pointee.table.load(ordering: .acquiring)
        for index in 0..<count { take(index, batch4.length(index), batch4.source(index), table.pointee, at: now) }
        if count > 0 { worked = true }
        isDry4 = count < ReceivePath.batchSize
      }
      if !isDry6 {
        let count = batch6.receive(into: slots)
        let table = shared.pointee.table.load(ordering: .acquiring)
        for index in 0..<count { take(index, batch6.length(index), batch6.source(index), table.pointee, at: now) }
        if count > 0 { worked = true }
        isDry6 = count < ReceivePath.batchSize
      }
      if isDry4, isDry6 { break }
    }
    return worked
  }

  private mutating func take(
    _ index: Int, _ count: Int, _ source: UnsafePointer<clinux_address>, _ table: ForwardingView, at now: Instant
  ) {
    let datagram = slots[index]
    guard TransportMessage.isTransport(datagram, count: count) else {
      return passToControl(datagram, count, source)
    }
    guard let position = table.sessionIndices[TransportMessage.receiverIndex(of: datagram)] else {
      return drops.count(.noSession)
    }
    let session = table.sessions.baseAddress.unsafelyUnwrapped + Int(position)
    let key = session.pointee.opening
    let padded: Int
    switch key.pointee.open(datagram, count: count, at: now) {
    case .opened(let length): padded = length
    case .notAuthentic: return drops.count(.notAuthentic)
    case .replayed: return drops.count(.replayed)
    case .expired: return drops.count(.noSession)
    }
    let peer = table.peers.baseAddress.unsafelyUnwrapped + Int(session.pointee.peer)
    note(count, isData: padded > 0, peer, source, key, table.generation, at: now)
    if padded > 0 { deliver(datagram + TransportMessage.headerLength, padded, from: peer, table, at: now) }
  }

  /// A packet of the peer authenticated.
  private mutating func note(
    _ count: Int, isData: Bool, _ peer: UnsafePointer<ForwardingView.PeerEntry>,
    _ source: UnsafePointer<clinux_address>, _ key: UnsafeMutablePointer<OpeningKey>,
    _ generation: UInt64, at now: Instant
  ) {
    let words = peer.pointee.words
    words.pointee.receivedBytes.store(
      words.pointee.receivedBytes.load(ordering: .relaxed) &+ UInt64(count), ordering: .relaxed)
    words.pointee.lastReceived.store(now.nanoseconds, ordering: .relaxed)
    // Told first: the confirmed session then seals the answers to what follows.
    if key.pointee.confirmsSession() {
      tell(RecordKind.confirmed, peer, value: key.pointee.session.number)
    }
    withUnsafePointer(to: peer.pointee.address) { known in
      guard !sameAddress(source, known) else { return }
      if words.pointee.reportedAt != generation || !sameAddress(source, &words.pointee.reportedSource) {
        words.pointee.reportedSource = source.pointee
        words.pointee.reportedAt = generation
        tell(
          RecordKind.sourceChanged, peer,
          payload: UnsafeRawBufferPointer(start: source, count: MemoryLayout<clinux_address>.size))
      }
    }
    if words.pointee.traffic.recordReceived(isData: isData, at: now) {
      tell(RecordKind.dataReceived, peer, value: now.nanoseconds)
    }
    if key.pointee.wantsRekey(at: now) { tell(RecordKind.wantsRekey, peer, value: key.pointee.session.number) }
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
    guard table.filter.admits(packet, header, flows: flows, at: now.nanoseconds / 1_000_000_000) else {
      return drops.count(.filtered)
    }
    while write(tun, packet, header.length) < 0 {
      if errno != EINTR { return drops.count(.deliveryFailed) }
    }
  }

  /// Only what has the length of a handshake message or a cookie reply is worth the control side's time.
  private mutating func passToControl(
    _ datagram: UnsafeMutableRawPointer, _ count: Int, _ source: UnsafePointer<clinux_address>
  ) {
    guard count == 148 || count == 92 || count == 64 else { return drops.count(.foreignDatagram) }
    let type = UInt32(littleEndian: datagram.loadUnaligned(as: UInt32.self))
    guard (type == 1 && count == 148) || (type == 2 && count == 92) || (type == 3 && count == 64) else {
      return drops.count(.foreignDatagram)
    }
    rang = true
    let isKept = handshakes.push(
      kind: RecordKind.handshake,
      prefix: UnsafeRawBufferPointer(start: source, count: MemoryLayout<clinux_address>.size),
      payload: UnsafeRawBufferPointer(start: datagram, count: count))
    if !isKept { drops.count(.handshakeQueueFull) }
  }

  private mutating func tell(
    _ kind: UInt32, _ peer: UnsafePointer<ForwardingView.PeerEntry>, value: UInt64 = 0,
    payload: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0)
  ) {
    rang = true
    _ = events.push(kind: kind, subject: peer.pointee.id.number, value: value, payload: payload)
  }
}
