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
  /// A large packet as the kernel leaves it to be cut, with its header.
  private func superPacket(_ link: Link, from: Machine, to: Machine) -> [UInt8] {
    var packet = FullPacket()
    packet.payload = (0..<20_000).map { UInt8(truncatingIfNeeded: $0) }
    let (virtio, bytes) = packet.superPacket(segmentSize: 1200)
    return header(virtio) + addressed(bytes, from: from, to: to)
  }

  private func header(_ virtio: VirtioHeader) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: VirtioHeader.length)
    bytes.withUnsafeMutableBytes { virtio.write(to: $0.baseAddress!) }
    return bytes
  }

  private func addressed(_ packet: [UInt8], from: Machine, to: Machine) -> [UInt8] {
    var packet = packet
    packet.replaceSubrange(12..<16, with: bytes(from.address))
    packet.replaceSubrange(16..<20, with: bytes(to.address))
    return packet
  }

  private func bytes(_ address: IPAddress) -> [UInt8] {
    withUnsafeBytes(of: UInt32(truncatingIfNeeded: address.value).bigEndian) { Array($0) }
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
        destinations: [link.a.address, link.b.address].map { IPPrefix(host: $0) }, destinationPorts: [ports],
        protocols: nil)
    }
    return PacketFilter(
      rules: [rule(from: IPAddress(v4: 1), ports: 22...22)]
        + [link.a.address, link.b.address].map { rule(from: $0, ports: 0...UInt16.max) }, acceptsByDefault: false)
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
      if offloads.contains(.tso) {
        link.a.send(superPacket(link, from: link.a, to: link.b))
        #expect(carries(link.a, link.b, 20_000, header: 40))
        link.b.send(superPacket(link, from: link.b, to: link.a))
        #expect(carries(link.b, link.a, 20_000, header: 40))
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
