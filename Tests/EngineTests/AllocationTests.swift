import CAllocationCount
import CLinux
import Glibc
import Synchronization
import TestSupport
import Testing
import Wire

@testable import DataPath

/// A data thread that the test runs, so that it can ask how often that thread allocated in all its life.
private final class CountedThread {
  private let dataPath: DataPath
  private let context: UnsafeMutablePointer<Context>
  private var thread = pthread_t()

  fileprivate struct Context {
    let entry: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer?
    let shared: UnsafeMutableRawPointer
    var allocations: UInt = 0
  }

  init(
    _ dataPath: DataPath, _ entry: @escaping @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer?
  ) {
    self.dataPath = dataPath
    context = .allocate(capacity: 1)
    context.initialize(to: Context(entry: entry, shared: UnsafeMutableRawPointer(dataPath.shared)))
    #expect(pthread_create(&thread, nil, runCounted, context) == 0)
  }

  /// Ends the thread. How often it allocated.
  func end() -> UInt {
    dataPath.shared.pointee.mustEnd.store(true, ordering: .releasing)
    clinux_event_signal(dataPath.shared.pointee.wakes.sending)
    clinux_event_signal(dataPath.shared.pointee.wakes.receiving)
    pthread_join(thread, nil)
    defer { context.deallocate() }
    return context.pointee.allocations
  }
}

private func runCounted(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
  guard let context = argument?.assumingMemoryBound(to: CountedThread.Context.self) else { return nil }
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

  /// Allocations of the first machine's thread over so many packets each way, large ones and small ones, and refused ones.
  private func allocations(rounds: Int, offloads: Offloads, way: Link.Way) throws -> UInt {
    let link = try Link(offloads: offloads, isStarted: false)
    link.publishBoth(way)
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
    let thread = CountedThread(link.a.dataPath, runDataThread)
    for round in 0..<rounds {
      let out = link.packet(link.a, link.b, [UInt8](repeating: UInt8(truncatingIfNeeded: round), count: 100))
      link.a.send(prefix + out)
      #expect(carries(link.a, link.b, out.count, header: 0))
      let back = link.packet(link.b, link.a, [1, 2, 3])
      link.b.send(prefix + back)
      #expect(carries(link.b, link.a, back.count, header: 0))
      // With a limit every other time, so that packets are cut, and super-packets cut shorter.
      link.publishBoth(way, innerLimit: round % 2 == 0 ? 700 : nil)
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
    return thread.end()
  }

  @Test(
    "a data thread that carries hundreds of packets allocates no more than one that carries two",
    arguments: [[], Offloads.all], [Link.Way.direct, .relayed])
  func none(offloads: Offloads, way: Link.Way) throws {
    // The first time fills the caches of the runtime.
    _ = try allocations(rounds: 2, offloads: offloads, way: way)
    let few = try allocations(rounds: 2, offloads: offloads, way: way)
    let many = try allocations(rounds: 300, offloads: offloads, way: way)
    #expect(few == many)
    #expect(few > 0, "nothing was counted")
  }
}
