import CAllocationCount
import CLinux
import Glibc
import Synchronization
import TestSupport
import Testing
import Wire

@testable import DataPath

/// The threads of a data path, run by the test, so that it can ask how often they allocated in all their lives.
private final class CountedThreads {
  typealias Entry = @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer?

  fileprivate struct Context {
    let entry: Entry
    let shared: UnsafeMutableRawPointer
    var allocations: UInt = 0
  }

  private let dataPath: DataPath
  private let contexts: [UnsafeMutablePointer<Context>]
  private var threads: [pthread_t] = []

  init(_ dataPath: DataPath) {
    self.dataPath = dataPath
    let entries: [Entry] = dataPath.threads == .one ? [runDataThread] : [runSendThread, runReceiveThread]
    contexts = entries.map { entry in
      let context = UnsafeMutablePointer<Context>.allocate(capacity: 1)
      context.initialize(to: Context(entry: entry, shared: UnsafeMutableRawPointer(dataPath.shared)))
      return context
    }
    for context in contexts {
      var thread = pthread_t()
      #expect(pthread_create(&thread, nil, runCounted, context) == 0)
      threads.append(thread)
    }
  }

  deinit { for context in contexts { context.deallocate() } }

  /// Ends the threads. How often they allocated.
  func end() -> UInt {
    dataPath.shared.pointee.mustEnd.store(true, ordering: .releasing)
    clinux_event_signal(dataPath.shared.pointee.wakes.sending)
    clinux_event_signal(dataPath.shared.pointee.wakes.receiving)
    for thread in threads { pthread_join(thread, nil) }
    return contexts.map(\.pointee.allocations).reduce(0, +)
  }
}

private func runCounted(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
  guard let context = argument?.assumingMemoryBound(to: CountedThreads.Context.self) else { return nil }
  _ = context.pointee.entry(context.pointee.shared)
  context.pointee.allocations = allocations_of_this_thread()
  return nil
}

@Suite(
  "allocations", .enabled(if: allocations_are_counted(), "a sanitizer has an allocator of its own"))
struct AllocationTests {
  /// Large packets as the kernel leaves them to be cut, with their headers: of each family, TCP and UDP.
  private static let kinds: [(isIPv4: Bool, isTCP: Bool)] = [true, false].flatMap { [($0, true), ($0, false)] }

  private func superPacket(
    _ kind: (isIPv4: Bool, isTCP: Bool), from: Machine, to: Machine
  ) -> (bytes: [UInt8], header: Int) {
    var packet = FullPacket()
    packet.isIPv4 = kind.isIPv4
    packet.isTCP = kind.isTCP
    packet.payload = (0..<20_000).map { UInt8(truncatingIfNeeded: $0) }
    let (virtio, bytes) = packet.superPacket(segmentSize: 1200)
    return (
      header(virtio) + addressed(bytes, from: from, to: to), (kind.isIPv4 ? 20 : 40) + (kind.isTCP ? 20 : 8)
    )
  }

  private func header(_ virtio: VirtioHeader) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: VirtioHeader.length)
    bytes.withUnsafeMutableBytes { virtio.write(to: $0.baseAddress!) }
    return bytes
  }

  private func addressed(_ packet: [UInt8], from: Machine, to: Machine) -> [UInt8] {
    var packet = packet
    if packet[0] >> 4 == 4 {
      packet.replaceSubrange(12..<20, with: [from, to].flatMap { bytes(UInt32(truncatingIfNeeded: $0.address.value)) })
    } else {
      packet.replaceSubrange(8..<40, with: [from, to].flatMap { bytes($0.address6.value) })
    }
    return packet
  }

  private func bytes(_ number: some FixedWidthInteger) -> [UInt8] {
    withUnsafeBytes(of: number.bigEndian) { Array($0) }
  }

  private static let cases: [(offloads: Offloads, way: Link.Way, threads: DataPath.Threads)] = [
    ([], .direct, .one), ([], .relayed, .one), (.all, .direct, .one), (.all, .relayed, .one),
    (.all, .direct, .onePerDirection), (.all, .relayed, .onePerDirection),
  ]

  /// As people write them: what is not allowed is refused. So flows are remembered, and every packet is looked at.
  private func rules(for link: Link) -> PacketFilter {
    func rule(from source: IPAddress, ports: ClosedRange<UInt16>) -> PacketFilter.Rule {
      PacketFilter.Rule(
        accepts: true, sources: [IPPrefix(host: source)], sourcePorts: [0...UInt16.max],
        destinations: [link.a, link.b].flatMap { [IPPrefix(host: $0.address), IPPrefix(host: $0.address6)] },
        destinationPorts: [ports],
        protocols: nil)
    }
    return PacketFilter(
      rules: [rule(from: IPAddress(v4: 1), ports: 22...22)]
        + [link.a, link.b].flatMap { [$0.address, $0.address6] }.map { rule(from: $0, ports: 0...UInt16.max) },
      acceptsByDefault: false)
  }

  /// Allocations of the first machine's threads over so many packets each way, large ones and small ones, and refused ones.
  private func allocations(
    rounds: Int, offloads: Offloads, way: Link.Way, threads: DataPath.Threads
  ) throws -> UInt {
    let link = try Link(threads: threads, offloads: offloads, isStarted: false)
    let filter = rules(for: link)
    link.publishBoth(way, filter: filter)
    let prefix = offloads.contains(.tso) ? header(VirtioHeader()) : []
    /// Waits until packets with so many bytes behind their headers have come, however they were cut or joined on their way.
    func carries(_ from: Machine, _ to: Machine, _ count: Int, header: Int) -> Bool {
      var received = 0
      for _ in 0..<5000 where received < count {
        if way == .relayed, from.collect(until: { true }) { _ = link.relay(from: from, to: to) }
        if let packet = to.receive(within: way == .relayed ? 1 : 2000) {
          received += packet.count - prefix.count - header
        }
      }
      return received == count
    }
    let counted = CountedThreads(link.a.dataPath)
    for round in 0..<rounds {
      let out = link.packet(link.a, link.b, [UInt8](repeating: UInt8(truncatingIfNeeded: round), count: 100))
      link.a.send(prefix + out)
      #expect(carries(link.a, link.b, out.count, header: 0))
      let back = link.packet(link.b, link.a, [1, 2, 3])
      link.b.send(prefix + back)
      #expect(carries(link.b, link.a, back.count, header: 0))
      // With a limit every other time, so that packets are cut, and super-packets cut shorter.
      link.publishBoth(way, innerLimit: round % 2 == 0 ? 700 : nil, filter: filter)
      let long = link.packet(link.a, link.b, [UInt8](repeating: 1, count: 1000))
      link.a.send(prefix + long)
      #expect(carries(link.a, link.b, long.count - 20, header: 20))
      link.a.send(prefix + [0x45, 0, 0, 1])
      link.b.inject([4, 0, 0, 0] + [UInt8](repeating: 9, count: 60), to: link.a.endpoint)
      // What is not TCP is not cut shorter.
      for kind in Self.kinds where offloads.contains(.tso) && (kind.isTCP || round % 2 == 1) {
        for (from, to) in [(link.a, link.b), (link.b, link.a)] {
          let (packet, header) = superPacket(kind, from: from, to: to)
          from.send(packet)
          #expect(carries(from, to, 20_000, header: header))
        }
      }
    }
    return counted.end()
  }

  @Test(
    "data threads that carry hundreds of packets allocate no more than those that carry two",
    arguments: AllocationTests.cases)
  func none(offloads: Offloads, way: Link.Way, threads: DataPath.Threads) throws {
    // The first time fills the caches of the runtime.
    _ = try allocations(rounds: 2, offloads: offloads, way: way, threads: threads)
    let few = try allocations(rounds: 2, offloads: offloads, way: way, threads: threads)
    let many = try allocations(rounds: 300, offloads: offloads, way: way, threads: threads)
    #expect(few == many)
    #expect(few > 0, "nothing was counted")
  }
}
