import CLinux
import Glibc

/// Joins packets of one flow that came one after the other into super-packets, and writes everything to the TUN in its order.
///
/// The rules are those of the kernel's own GRO: what cutting the super-packet again would not give back exactly is not joined. So
/// all packets agree in addresses, ports, TOS, TTL, fragment bits and TCP options, window and acknowledgement; no packet is a
/// fragment or has IP options or extension headers; TCP flags are ACK alone, and PSH in the last; sequence numbers adjoin; payloads
/// are equally long, but for the last, which may be shorter; and every checksum is right, since the kernel believes the result.
///
/// Packets are joined by reference: the first with its header, of the others the payload. They lie still until `flush`, and the
/// `VirtioHeader.length` bytes before each of them are free.
struct Coalescer {
  /// How many packets, or super-packets, wait at most.
  private static let capacity = 64
  /// What is joined at most: UDP super-packets have no more segments, and a full TCP one has not many more.
  private static let longestRun = 64
  private static let greatestLength = 65_535

  private struct Run {
    /// The first packet.
    var packet: UnsafeMutableRawPointer
    /// The first packet's whole length, and of it what stands before the payload; 0 for one that is not joined to others.
    var firstLength: Int
    var headerLength = 0
    /// Payload of all packets, and of the first.
    var payload = 0
    var segmentSize = 0
    var nextSequence: UInt32 = 0
    var count = 1
    var isTCP = false
    var isIPv4 = false
    var isVerified = false
    var takesMore = false
  }

  private let tun: CInt
  /// Whether every packet on the device has a header before it.
  private let hasHeaders: Bool
  private let drops: DropCounters
  private let runs: UnsafeMutablePointer<Run>
  private let parts: UnsafeMutablePointer<iovec>
  /// For each hash of a flow the run that its last packet is in; `capacity` where there is none.
  private let recent: UnsafeMutablePointer<UInt8>
  private var count = 0
  private(set) var joinsTCP: Bool
  private(set) var joinsUDP: Bool

  init(tun: CInt, hasHeaders: Bool, offloads: Offloads, drops: DropCounters) {
    self.tun = tun
    self.hasHeaders = hasHeaders
    self.drops = drops
    joinsTCP = hasHeaders && offloads.contains(.tso)
    joinsUDP = hasHeaders && offloads.contains(.uso)
    runs = .allocate(capacity: Coalescer.capacity)
    parts = .allocate(capacity: Coalescer.capacity * Coalescer.longestRun)
    parts.initialize(repeating: iovec(), count: Coalescer.capacity * Coalescer.longestRun)
    recent = .allocate(capacity: Coalescer.capacity)
    recent.initialize(repeating: UInt8(Coalescer.capacity), count: Coalescer.capacity)
  }

  func deallocate() {
    runs.deallocate()
    parts.deallocate()
    recent.deallocate()
  }

  /// Takes one packet of `length` bytes, checked to be an IP packet.
  @inline(__always)
  mutating func add(_ packet: UnsafeMutableRawPointer, length: Int, isIPv4: Bool) {
    if count == Coalescer.capacity { flush() }
    let network = isIPv4 ? 20 : 40
    let number = packet.load(fromByteOffset: isIPv4 ? 9 : 6, as: UInt8.self)
    // A first fragment, or a later one, or a header with options, has no ports at the usual place.
    let isPlain =
      isIPv4
      ? packet.load(as: UInt8.self) == 0x45 && packet.loadUnaligned(fromByteOffset: 6, as: UInt16.self) & 0xff3f == 0
      : true
    if isPlain, number == PacketKind.tcp, joinsTCP, length >= network &+ 20 {
      addTCP(packet, length, isIPv4, network)
    } else if isPlain, number == PacketKind.udp, joinsUDP, length >= network &+ 8 {
      addUDP(packet, length, isIPv4, network)
    } else {
      // It may belong to any flow, so no flow's earlier run may grow past it.
      if count > 0 { forgetFlows() }
      begin(packet, length)
    }
  }

  private mutating func addTCP(_ packet: UnsafeMutableRawPointer, _ length: Int, _ isIPv4: Bool, _ network: Int) {
    let transport = packet + network
    let header = network &+ Int(transport.load(fromByteOffset: 12, as: UInt8.self) >> 4) &* 4
    let flags = transport.load(fromByteOffset: 13, as: UInt8.self)
    let slot = Coalescer.slot(packet, isIPv4, network)
    guard flags & ~TCPFlags.psh == TCPFlags.ack, header >= network &+ 20, header < length else {
      recent[slot] = UInt8(Coalescer.capacity)
      return begin(packet, length)
    }
    let sequence = UInt32(bigEndian: transport.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
    let payload = length &- header
    let isPushed = flags & TCPFlags.psh != 0
    if Int(recent[slot]) < count {
      let run = runs + Int(recent[slot])
      if run.pointee.takesMore, run.pointee.isTCP, run.pointee.headerLength == header, run.pointee.isIPv4 == isIPv4,
        run.pointee.nextSequence == sequence, fits(run, payload),
        Coalescer.sameNetworkHeader(run, packet),
        sameTCPHeader(run.pointee.packet + network, transport, header &- network),
        verify(run), isCorrect(packet, length, network, PacketKind.tcp)
      {
        append(run, packet + header, payload)
        run.pointee.nextSequence = sequence &+ UInt32(truncatingIfNeeded: payload)
        if isPushed {
          let first = run.pointee.packet + network
          first.storeBytes(
            of: first.load(fromByteOffset: 13, as: UInt8.self) | TCPFlags.psh, toByteOffset: 13, as: UInt8.self)
          run.pointee.takesMore = false
        }
        return
      }
    }
    recent[slot] = UInt8(truncatingIfNeeded: count)
    begin(packet, length)
    let run = runs + (count &- 1)
    run.pointee.headerLength = header
    run.pointee.payload = payload
    run.pointee.segmentSize = payload
    run.pointee.nextSequence = sequence &+ UInt32(truncatingIfNeeded: payload)
    run.pointee.isTCP = true
    run.pointee.isIPv4 = isIPv4
    run.pointee.takesMore = !isPushed
  }

  private mutating func addUDP(_ packet: UnsafeMutableRawPointer, _ length: Int, _ isIPv4: Bool, _ network: Int) {
    let transport = packet + network
    let header = network &+ 8
    let slot = Coalescer.slot(packet, isIPv4, network)
    let payload = length &- header
    // One without a checksum, which IPv4 allows, would get one.
    guard payload > 0, transport.loadUnaligned(fromByteOffset: 6, as: UInt16.self) != 0,
      Int(UInt16(bigEndian: transport.loadUnaligned(fromByteOffset: 4, as: UInt16.self))) == length &- network
    else {
      recent[slot] = UInt8(Coalescer.capacity)
      return begin(packet, length)
    }
    if Int(recent[slot]) < count {
      let run = runs + Int(recent[slot])
      if run.pointee.takesMore, !run.pointee.isTCP, run.pointee.isIPv4 == isIPv4, fits(run, payload),
        Coalescer.sameNetworkHeader(run, packet),
        (run.pointee.packet + network).loadUnaligned(as: UInt32.self) == transport.loadUnaligned(as: UInt32.self),
        verify(run), isCorrect(packet, length, network, PacketKind.udp)
      {
        return append(run, packet + header, payload)
      }
    }
    recent[slot] = UInt8(truncatingIfNeeded: count)
    begin(packet, length)
    let run = runs + (count &- 1)
    run.pointee.headerLength = header
    run.pointee.payload = payload
    run.pointee.segmentSize = payload
    run.pointee.isIPv4 = isIPv4
    run.pointee.takesMore = true
  }

  // MARK: Runs

  private mutating func begin(_ packet: UnsafeMutableRawPointer, _ length: Int) {
    runs[count] = Run(packet: packet, firstLength: length)
    let part = parts + count &* Coalescer.longestRun
    part.pointee.iov_base = packet - VirtioHeader.length
    part.pointee.iov_len = length &+ VirtioHeader.length
    count = count &+ 1
  }

  @inline(__always)
  private func fits(_ run: UnsafeMutablePointer<Run>, _ payload: Int) -> Bool {
    payload <= run.pointee.segmentSize && run.pointee.count < Coalescer.longestRun
      && run.pointee.headerLength &+ run.pointee.payload &+ payload <= Coalescer.greatestLength
  }

  @inline(__always)
  private func append(_ run: UnsafeMutablePointer<Run>, _ payload: UnsafeMutableRawPointer, _ length: Int) {
    let part = parts + ((run - runs) &* Coalescer.longestRun &+ run.pointee.count)
    part.pointee.iov_base = payload
    part.pointee.iov_len = length
    run.pointee.count = run.pointee.count &+ 1
    run.pointee.payload = run.pointee.payload &+ length
    if length < run.pointee.segmentSize { run.pointee.takesMore = false }
  }

  private func forgetFlows() {
    memset(recent, CInt(Coalescer.capacity), Coalescer.capacity)
  }

  // MARK: Comparing

  @inline(__always)
  private static func slot(_ packet: UnsafeRawPointer, _ isIPv4: Bool, _ network: Int) -> Int {
    var hash = UInt64((packet + network).loadUnaligned(as: UInt32.self))
    if isIPv4 {
      hash ^= packet.loadUnaligned(fromByteOffset: 12, as: UInt64.self)
    } else {
      hash ^= packet.loadUnaligned(fromByteOffset: 16, as: UInt64.self)
      hash ^= packet.loadUnaligned(fromByteOffset: 32, as: UInt64.self) &<< 1
    }
    return Int(truncatingIfNeeded: (hash &* 0x9e37_79b9_7f4a_7c15) &>> 58)
  }

  /// Everything in the IP header but length, checksum and, where nothing may fragment the packet, its number.
  @inline(__always)
  private static func sameNetworkHeader(_ run: UnsafeMutablePointer<Run>, _ packet: UnsafeRawPointer) -> Bool {
    let first = UnsafeRawPointer(run.pointee.packet)
    guard run.pointee.isIPv4 else {
      return first.loadUnaligned(as: UInt32.self) == packet.loadUnaligned(as: UInt32.self)
        && first.loadUnaligned(fromByteOffset: 6, as: UInt16.self)
          == packet.loadUnaligned(fromByteOffset: 6, as: UInt16.self)
        && first.loadUnaligned(fromByteOffset: 8, as: UInt128.self)
          == packet.loadUnaligned(fromByteOffset: 8, as: UInt128.self)
        && first.loadUnaligned(fromByteOffset: 24, as: UInt128.self)
          == packet.loadUnaligned(fromByteOffset: 24, as: UInt128.self)
    }
    guard
      first.loadUnaligned(as: UInt16.self) == packet.loadUnaligned(as: UInt16.self),
      first.loadUnaligned(fromByteOffset: 6, as: UInt32.self)
        == packet.loadUnaligned(fromByteOffset: 6, as: UInt32.self),
      first.loadUnaligned(fromByteOffset: 12, as: UInt64.self)
        == packet.loadUnaligned(fromByteOffset: 12, as: UInt64.self)
    else { return false }
    // Cutting numbers the segments in a row.
    let mayFragment = packet.load(fromByteOffset: 6, as: UInt8.self) & 0x40 == 0
    let number = UInt16(bigEndian: first.loadUnaligned(fromByteOffset: 4, as: UInt16.self))
    return !mayFragment
      || UInt16(bigEndian: packet.loadUnaligned(fromByteOffset: 4, as: UInt16.self))
        == number &+ UInt16(truncatingIfNeeded: run.pointee.count)
  }

  /// Ports, acknowledgement, header length and window; and the options, byte by byte: a timestamp that differs is one.
  @inline(__always)
  private func sameTCPHeader(_ first: UnsafeRawPointer, _ other: UnsafeRawPointer, _ length: Int) -> Bool {
    first.loadUnaligned(as: UInt32.self) == other.loadUnaligned(as: UInt32.self)
      && first.loadUnaligned(fromByteOffset: 8, as: UInt32.self)
        == other.loadUnaligned(fromByteOffset: 8, as: UInt32.self)
      && first.load(fromByteOffset: 12, as: UInt8.self) == other.load(fromByteOffset: 12, as: UInt8.self)
      && first.loadUnaligned(fromByteOffset: 14, as: UInt16.self)
        == other.loadUnaligned(fromByteOffset: 14, as: UInt16.self)
      && (length == 20 || memcmp(first + 20, other + 20, length &- 20) == 0)
  }

  /// Whether the first packet's checksum is right, which is looked at when a second one comes.
  @inline(__always)
  private func verify(_ run: UnsafeMutablePointer<Run>) -> Bool {
    if run.pointee.isVerified { return true }
    let number = run.pointee.isTCP ? PacketKind.tcp : PacketKind.udp
    guard isCorrect(run.pointee.packet, run.pointee.firstLength, run.pointee.isIPv4 ? 20 : 40, number) else {
      run.pointee.takesMore = false
      return false
    }
    run.pointee.isVerified = true
    return true
  }

  @inline(__always)
  private func isCorrect(_ packet: UnsafeRawPointer, _ length: Int, _ network: Int, _ number: UInt8) -> Bool {
    if network == 20 {
      var header = InternetChecksum()
      header.add(packet, count: 20)
      guard header.folded == 0xffff else { return false }
    }
    var sum = InternetChecksum()
    sum.addPseudoHeader(of: packet, isIPv4: network == 20, protocol: number, length: length &- network)
    sum.add(packet + network, count: length &- network)
    return sum.folded == 0xffff
  }

  // MARK: Writing

  /// Writes what waits.
  mutating func flush() {
    guard count > 0 else { return }
    for index in 0..<count {
      let run = runs + index
      let part = parts + index &* Coalescer.longestRun
      if run.pointee.count == 1 {
        writeSingle(run.pointee.packet, run.pointee.firstLength)
      } else {
        let header = superHeader(run)
        header.write(to: run.pointee.packet - VirtioHeader.length)
        if !write(part, run.pointee.count) {
          // A kernel that does not take what it promised: the packets go by themselves, from now on.
          if run.pointee.isTCP { joinsTCP = false } else { joinsUDP = false }
          separate(run, part)
        }
      }
    }
    count = 0
    forgetFlows()
  }

  private func writeSingle(_ packet: UnsafeMutableRawPointer, _ length: Int) {
    guard hasHeaders else { return writePlain(packet, length) }
    let start = packet - VirtioHeader.length
    VirtioHeader().write(to: start)
    writePlain(start, length &+ VirtioHeader.length)
  }

  private func writePlain(_ bytes: UnsafeMutableRawPointer, _ length: Int) {
    while Glibc.write(tun, bytes, length) < 0 {
      if errno != EINTR { return drops.count(.delivering(errno)) }
    }
  }

  /// `false` if the kernel does not take this form.
  private func write(_ part: UnsafeMutablePointer<iovec>, _ count: Int) -> Bool {
    while writev(tun, part, CInt(truncatingIfNeeded: count)) < 0 {
      switch errno {
      case EINTR: continue
      case EINVAL: return false
      default:
        drops.count(.delivering(errno), count)
        return true
      }
    }
    return true
  }

  /// Turns the first packet's header into that of the whole run.
  private func superHeader(_ run: UnsafeMutablePointer<Run>) -> VirtioHeader {
    let network = run.pointee.isIPv4 ? 20 : 40
    let length = run.pointee.headerLength &+ run.pointee.payload
    setLength(of: run, length)
    let transport = run.pointee.packet + network
    let number = run.pointee.isTCP ? PacketKind.tcp : PacketKind.udp
    var sum = InternetChecksum()
    sum.addPseudoHeader(
      of: run.pointee.packet, isIPv4: run.pointee.isIPv4, protocol: number, length: length &- network)
    transport.storeBytes(of: sum.folded, toByteOffset: run.pointee.isTCP ? 16 : 6, as: UInt16.self)
    var header = VirtioHeader()
    header.needsChecksum = true
    header.kind =
      run.pointee.isTCP ? (run.pointee.isIPv4 ? VirtioHeader.tcp4 : VirtioHeader.tcp6) : VirtioHeader.udp
    header.headerLength = UInt16(truncatingIfNeeded: run.pointee.headerLength)
    header.segmentSize = UInt16(truncatingIfNeeded: run.pointee.segmentSize)
    header.checksumStart = UInt16(truncatingIfNeeded: network)
    header.checksumOffset = run.pointee.isTCP ? 16 : 6
    return header
  }

  /// Writes the length fields and the IPv4 header's checksum.
  private func setLength(of run: UnsafeMutablePointer<Run>, _ length: Int) {
    let packet = run.pointee.packet
    if run.pointee.isIPv4 {
      packet.storeBytes(of: UInt16(truncatingIfNeeded: length).bigEndian, toByteOffset: 2, as: UInt16.self)
      packet.storeBytes(of: 0, toByteOffset: 10, as: UInt16.self)
      var sum = InternetChecksum()
      sum.add(packet, count: 20)
      packet.storeBytes(of: ~sum.folded, toByteOffset: 10, as: UInt16.self)
    } else {
      packet.storeBytes(of: UInt16(truncatingIfNeeded: length &- 40).bigEndian, toByteOffset: 4, as: UInt16.self)
    }
    if !run.pointee.isTCP {
      let network = run.pointee.isIPv4 ? 20 : 40
      packet.storeBytes(
        of: UInt16(truncatingIfNeeded: length &- network).bigEndian, toByteOffset: network &+ 4, as: UInt16.self)
    }
  }

  /// Writes the packets of a run one by one. The first gets its own length and checksum back, the others never lost theirs.
  private func separate(_ run: UnsafeMutablePointer<Run>, _ part: UnsafeMutablePointer<iovec>) {
    let network = run.pointee.isIPv4 ? 20 : 40
    let first = run.pointee.packet
    setLength(of: run, run.pointee.firstLength)
    let field = network &+ (run.pointee.isTCP ? 16 : 6)
    first.storeBytes(of: 0, toByteOffset: field, as: UInt16.self)
    var sum = InternetChecksum()
    sum.addPseudoHeader(
      of: first, isIPv4: run.pointee.isIPv4, protocol: run.pointee.isTCP ? PacketKind.tcp : PacketKind.udp,
      length: run.pointee.firstLength &- network)
    sum.add(first + network, count: run.pointee.firstLength &- network)
    first.storeBytes(of: sum.field, toByteOffset: field, as: UInt16.self)
    writeSingle(first, run.pointee.firstLength)
    for index in 1..<run.pointee.count {
      let payload = part[index]
      guard let base = payload.iov_base else { continue }
      writeSingle(base - run.pointee.headerLength, run.pointee.headerLength &+ payload.iov_len)
    }
  }
}
