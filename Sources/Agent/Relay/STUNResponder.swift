import CLinux
import Glibc
import Logging
import Synchronization
import Traversal
import Wire

/// Answers STUN on UDP beside a relay's listeners, on two ports, so that one relay tells a machine how its NAT maps.
///
/// A thread of its own waits for the sockets: a flood of datagrams keeps nothing else of the process busy. Each answer leaves from the
/// address that its question was sent to, also where this machine has several.
final class STUNResponder: Sendable {
  /// What answers: the port of the listeners where it is free, and the one after it, or any. Empty: nothing could be had.
  let ports: [UInt16]
  private let wake: CInt
  private let thread: Mutex<pthread_t?>

  /// - Parameter listeners: where the relay listens on TCP. The first one's port is the one that is wanted.
  init(beside listeners: [SocketAddress], logger: Logger) {
    let wanted = listeners.first?.port ?? 0
    var seen: Set<IPAddress> = []
    let addresses = listeners.map(\.ip).filter { seen.insert($0).inserted }
    let first = STUNSockets(on: addresses, port: wanted) ?? STUNSockets(onAnyPortOf: addresses)
    let second = STUNSockets(on: addresses, port: wanted &+ 1) ?? STUNSockets(onAnyPortOf: addresses)
    let both = [first, second].compactMap { $0 }
    let wake = clinux_event_create()
    let started = wake >= 0 && !both.isEmpty ? STUNThread(both.flatMap(\.descriptors), wake: wake).start() : nil
    self.wake = wake
    thread = Mutex(started)
    ports = started == nil ? [] : both.map(\.port)
    if started == nil {
      for descriptor in both.flatMap(\.descriptors) { close(descriptor) }
      logger.warning("no UDP port answers STUN: machines behind NATs find their way here by other means alone")
    } else if ports.first != wanted {
      logger.warning(
        "UDP port \(wanted) is taken: another answers STUN", metadata: ["ports": "\(ports.map(String.init))"])
    }
  }

  deinit {
    stop()
    if wake >= 0 { close(wake) }
  }

  /// Answers nothing more. Returns when the ports are free.
  func stop() {
    let running = thread.withLock { thread in
      defer { thread = nil }
      return thread
    }
    guard let running else { return }
    clinux_event_signal(wake)
    pthread_join(running, nil)
  }
}

/// Sockets on one port of several addresses.
private struct STUNSockets {
  /// Attempts to find a port that is free on all addresses.
  private static let attempts = 16

  let port: UInt16
  let descriptors: [CInt]

  /// `nil` if the port is not free on one of them.
  init?(on addresses: [IPAddress], port: UInt16) {
    guard port != 0 else { return nil }
    var descriptors: [CInt] = []
    for address in addresses {
      guard let descriptor = Self.open(SocketAddress(address, port: port)) else {
        for descriptor in descriptors { close(descriptor) }
        return nil
      }
      descriptors.append(descriptor)
    }
    guard !descriptors.isEmpty else { return nil }
    self.port = port
    self.descriptors = descriptors
  }

  init?(onAnyPortOf addresses: [IPAddress]) {
    guard let first = addresses.first else { return nil }
    for _ in 0..<Self.attempts {
      guard let descriptor = Self.open(SocketAddress(first, port: 0)) else { return nil }
      let port = clinux_udp_port(descriptor)
      close(descriptor)
      if port > 0, let sockets = STUNSockets(on: addresses, port: UInt16(truncatingIfNeeded: port)) {
        self = sockets
        return
      }
    }
    return nil
  }

  private static func open(_ address: SocketAddress) -> CInt? {
    let isV4 = address.ip.family == .v4
    let kind = CInt(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
    let descriptor = socket(isV4 ? AF_INET : AF_INET6, kind, 0)
    guard descriptor >= 0 else { return nil }
    var yes: CInt = 1
    let size = socklen_t(MemoryLayout<CInt>.size)
    // The wildcard of IPv6 would take the port on IPv4 too.
    let isReady =
      isV4
      ? setsockopt(descriptor, CInt(IPPROTO_IP), IP_PKTINFO, &yes, size) == 0
      : setsockopt(descriptor, CInt(IPPROTO_IPV6), IPV6_V6ONLY, &yes, size) == 0
        && setsockopt(descriptor, CInt(IPPROTO_IPV6), IPV6_RECVPKTINFO, &yes, size) == 0
    guard isReady, KernelAddress.with(address, { bind(descriptor, $0, $1) }) == 0 else {
      close(descriptor)
      return nil
    }
    return descriptor
  }
}

/// What the thread has to itself.
private final class STUNThread {
  /// Datagrams that are taken from one socket before the next has its turn.
  private static let turn = 64
  /// One more than the largest request, so that longer ones are seen to be longer.
  private static let room = STUNServer.largestRequest + 1
  private static let controlRoom = 128

  private let descriptors: [CInt]
  private let wake: CInt
  private var server = STUNServer()

  init(_ descriptors: [CInt], wake: CInt) {
    self.descriptors = descriptors
    self.wake = wake
  }

  func start() -> pthread_t? {
    let context = Unmanaged.passRetained(self)
    var thread = pthread_t()
    guard pthread_create(&thread, nil, runSTUNThread, context.toOpaque()) == 0 else {
      context.release()
      return nil
    }
    return thread
  }

  func run() {
    clinux_name_thread("meshd-stun")
    defer { for descriptor in descriptors { close(descriptor) } }
    var waits = (descriptors + [wake]).map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
    while true {
      guard poll(&waits, nfds_t(waits.count), -1) >= 0 || errno == EINTR else { return }
      if waits[waits.count - 1].revents != 0 { return }
      for wait in waits.dropLast() where wait.revents != 0 { answer(wait.fd) }
    }
  }

  private func answer(_ descriptor: CInt) {
    withUnsafeTemporaryAllocation(byteCount: Self.room, alignment: 8) { datagram in
      withUnsafeTemporaryAllocation(byteCount: Self.controlRoom, alignment: 8) { control in
        for _ in 0..<Self.turn {
          var source = sockaddr_storage()
          guard exchange(descriptor, datagram, control, &source) else { return }
        }
      }
    }
  }

  /// Takes one datagram and answers it. `false` when there is none.
  private func exchange(
    _ descriptor: CInt, _ datagram: UnsafeMutableRawBufferPointer, _ control: UnsafeMutableRawBufferPointer,
    _ source: UnsafeMutablePointer<sockaddr_storage>
  ) -> Bool {
    var part = iovec(iov_base: datagram.baseAddress, iov_len: datagram.count)
    return withUnsafeMutablePointer(to: &part) { part in
      var message = msghdr()
      message.msg_name = UnsafeMutableRawPointer(source)
      message.msg_namelen = socklen_t(MemoryLayout<sockaddr_storage>.size)
      message.msg_iov = part
      message.msg_iovlen = 1
      message.msg_control = control.baseAddress
      message.msg_controllen = control.count
      let count = recvmsg(descriptor, &message, CInt(MSG_DONTWAIT))
      guard count >= 0 else { return errno == EINTR || errno == ECONNREFUSED }
      guard count <= STUNServer.largestRequest, let address = KernelAddress.address(at: source),
        let answer = server.answer(Array(datagram.prefix(count)), from: address, at: .now())
      else { return true }
      Self.freeInterface(of: message)
      answer.withUnsafeBytes { bytes in
        part.pointee = iovec(iov_base: UnsafeMutableRawPointer(mutating: bytes.baseAddress), iov_len: bytes.count)
        _ = sendmsg(descriptor, &message, CInt(MSG_DONTWAIT))
      }
      return true
    }
  }

  /// The kernel's note of where a datagram came to says, on the way back, where the answer leaves from: the address stays, the
  /// interface is for the routes to choose.
  private static func freeInterface(of message: msghdr) {
    let header = MemoryLayout<cmsghdr>.stride
    guard let control = message.msg_control, message.msg_controllen >= header else { return }
    let note = control.loadUnaligned(as: cmsghdr.self)
    switch (note.cmsg_level, note.cmsg_type) {
    case (CInt(IPPROTO_IP), IP_PKTINFO) where message.msg_controllen >= header + MemoryLayout<in_pktinfo>.size:
      control.storeBytes(of: 0, toByteOffset: header, as: CInt.self)
    case (CInt(IPPROTO_IPV6), IPV6_PKTINFO) where message.msg_controllen >= header + 20:
      control.storeBytes(of: 0, toByteOffset: header + 16, as: CUnsignedInt.self)
    default: break
    }
  }
}

private func runSTUNThread(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
  guard let context else { return nil }
  Unmanaged<STUNThread>.fromOpaque(context).takeRetainedValue().run()
  return nil
}
