import Glibc
import Synchronization
public import Wire

/// A bad network between two hosts: a forwarder of datagrams that delays, reorders, repeats, changes and loses some of them, by a seed.
///
/// It has a socket towards each of the two. What comes from one goes out of the other's, to the address that it was told. One thread
/// of its own, from `start` until `stop`.
public final class UDPForwarder: @unchecked Sendable {
  // `state` is the thread's own; `mustEnd` and the counters are atomic.

  /// How bad it is: of how many datagrams it does what to one.
  public struct Faults: Sendable {
    /// One of so many is lost, sent twice, has a byte changed, or waits for up to `delay` and is overtaken; 0: none.
    public var lost = 0
    public var repeated = 0
    public var changed = 0
    public var delayed = 0
    public var delay: Duration = .milliseconds(5)

    public init(lost: Int = 0, repeated: Int = 0, changed: Int = 0, delayed: Int = 0) {
      self.lost = lost
      self.repeated = repeated
      self.changed = changed
      self.delayed = delayed
    }
  }

  /// What has happened to datagrams.
  public struct Counts: Sendable {
    public var forwarded = 0
    public var lost = 0
    public var repeated = 0
    public var changed = 0
    public var delayed = 0
  }

  private struct Waiting {
    let due: Instant
    let side: Int
    let bytes: [UInt8]
  }

  private static let longest = 2048
  private static let mostWaiting = 512

  private let sockets: [CInt]
  private let targets: [sockaddr_in]
  private let faults: Faults
  private let random: SeededRandom
  private let mustEnd = Atomic<Bool>(false)
  private let counts = Mutex(Counts())
  private var waiting: [Waiting] = []
  private var thread = pthread_t()

  /// - Parameters:
  ///   - sockets: one that the first host sends to, and one for the second: bound, non-blocking. They become the forwarder's own.
  ///   - targets: where the two hosts listen.
  public init(sockets: (CInt, CInt), targets: (SocketAddress, SocketAddress), faults: Faults, seed: UInt64) {
    self.sockets = [sockets.0, sockets.1]
    self.targets = [targets.0, targets.1].map { target in
      var address = sockaddr_in()
      address.sin_family = sa_family_t(AF_INET)
      address.sin_port = target.port.bigEndian
      address.sin_addr.s_addr = UInt32(truncatingIfNeeded: target.ip.value).bigEndian
      return address
    }
    self.faults = faults
    random = SeededRandom(seed)
  }

  deinit { for socket in sockets { close(socket) } }

  public func start() {
    let context = Unmanaged.passUnretained(self).toOpaque()
    precondition(pthread_create(&thread, nil, runForwarder, context) == 0, "no thread for the forwarder")
  }

  /// What it did.
  public func stop() -> Counts {
    mustEnd.store(true, ordering: .releasing)
    pthread_join(thread, nil)
    return counts.withLock { $0 }
  }

  fileprivate func run() {
    var buffer = [UInt8](repeating: 0, count: UDPForwarder.longest)
    while !mustEnd.load(ordering: .acquiring) {
      var set = sockets.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
      poll(&set, nfds_t(set.count), waiting.isEmpty ? 50 : 1)
      for side in 0...1 {
        // A budget, so that neither side starves the other.
        for _ in 0..<64 {
          let count = recv(sockets[side], &buffer, buffer.count, CInt(MSG_DONTWAIT))
          guard count > 0 else { break }
          take(Array(buffer[..<count]), from: side)
        }
      }
      let now = Instant.now()
      for one in waiting where one.due <= now { send(one.bytes, to: one.side) }
      waiting.removeAll { $0.due <= now }
    }
  }

  private func happens(_ one: Int) -> Bool { one > 0 && random.uniform(below: UInt64(one)) == 0 }

  private func take(_ datagram: [UInt8], from side: Int) {
    var bytes = datagram
    let other = 1 - side
    if happens(faults.lost) { return counts.withLock { $0.lost += 1 } }
    if happens(faults.changed) {
      counts.withLock { $0.changed += 1 }
      bytes[Int(random.uniform(below: UInt64(bytes.count)))] ^= UInt8(1 + random.uniform(below: 255))
    }
    if happens(faults.repeated) {
      counts.withLock { $0.repeated += 1 }
      send(bytes, to: other)
    }
    if happens(faults.delayed), waiting.count < UDPForwarder.mostWaiting {
      counts.withLock { $0.delayed += 1 }
      let delay = Int64(random.uniform(below: UInt64(faults.delay.nanoseconds)))
      waiting.append(Waiting(due: .now() + .nanoseconds(delay), side: other, bytes: bytes))
    } else {
      send(bytes, to: other)
    }
  }

  private func send(_ bytes: [UInt8], to side: Int) {
    var target = targets[side]
    let sent = withUnsafePointer(to: &target) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        sendto(sockets[side], bytes, bytes.count, CInt(MSG_DONTWAIT), $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    if sent > 0 { counts.withLock { $0.forwarded += 1 } }
  }
}

private func runForwarder(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
  guard let context else { return nil }
  Unmanaged<UDPForwarder>.fromOpaque(context).takeUnretainedValue().run()
  return nil
}
