import CLinux
import Cryptography
import Glibc
import TestSupport
import Testing
import Wire
import WireGuard

@testable import DataPath

/// A data path whose device is one end of a socket pair, and whose network is loopback: no privilege needed.
final class Machine {
  let address: IPAddress
  /// Made of the last byte of the other one.
  let address6: IPAddress
  let peer = PeerMemory(PeerID(1))
  let dataPath: DataPath
  let socket: CInt
  let endpoint: SocketAddress
  private let device: CInt
  private let inside: CInt
  var events: [Event] = []
  var handshakes: [[UInt8]] = []
  var disco: [(datagram: [UInt8], source: SocketAddress)] = []
  var stun: [(datagram: [UInt8], source: SocketAddress)] = []
  var notices: [(packet: [UInt8], peer: PeerID)] = []
  /// Error numbers with which the device was lost, which is an issue unless `loseDevice` was called.
  var losses: [CInt] = []
  private var mayLoseDevice = false
  /// Sealed packets for a relay.
  var relayed: [(datagram: [UInt8], peer: PeerID)] = []

  /// - Parameter offloads: on the sockets, which loopback has, and on the device, where the test is the kernel.
  init(_ address: String, threads: DataPath.Threads, offloads: Offloads = [], isStarted: Bool = true) throws {
    self.address = IPAddress(address)!
    address6 = IPAddress(v6: 0xfd << 120 | (self.address.value & 0xff) * 0x01010101010101_0101010101010101)
    var pair: [CInt] = [0, 0]
    let kind = CInt(SOCK_DGRAM.rawValue) | CInt(SOCK_NONBLOCK.rawValue) | CInt(SOCK_CLOEXEC.rawValue)
    #expect(socketpair(AF_UNIX, kind, 0, &pair) == 0)
    inside = pair[0]
    device = pair[1]
    socket = Glibc.socket(AF_INET, kind, 0)
    var bound = sockaddr_in()
    bound.sin_family = sa_family_t(AF_INET)
    bound.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let socket = self.socket
    let status = withUnsafeMutablePointer(to: &bound) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(socket, $0, length) | getsockname(socket, $0, &length)
      }
    }
    #expect(status == 0)
    endpoint = SocketAddress(IPAddress(v4: 0x7f00_0001), port: UInt16(bigEndian: bound.sin_port))
    dataPath = try #require(
      DataPath(
        .init(
          tun: inside, hasHeaders: offloads.contains(.tso), ipv4: socket, ipv6: nil, offloads: offloads),
        mtu: 1280, random: SeededRandom(3), threads: threads))
    if offloads.contains(.gro) { #expect(clinux_udp_coalesce(socket) == 0) }
    if isStarted { #expect(dataPath.start()) }
  }

  deinit {
    dataPath.stop()
    for descriptor in [inside, device, socket] { close(descriptor) }
  }

  /// What an application sends.
  func send(_ packet: [UInt8]) { #expect(write(device, packet, packet.count) == packet.count) }

  /// What arrives at an application within the time; `nil`: nothing.
  func receive(within milliseconds: CInt = 2000) -> [UInt8]? {
    var set = pollfd(fd: device, events: Int16(POLLIN), revents: 0)
    guard poll(&set, 1, milliseconds) > 0 else { return nil }
    var buffer = [UInt8](repeating: 0, count: 65536)
    let count = read(device, &buffer, buffer.count)
    return count > 0 ? Array(buffer[..<count]) : nil
  }

  /// Sends a datagram from this machine's socket past its data path.
  func inject(_ datagram: [UInt8], to address: SocketAddress) {
    var target = sockaddr_in()
    target.sin_family = sa_family_t(AF_INET)
    target.sin_port = address.port.bigEndian
    target.sin_addr.s_addr = UInt32(truncatingIfNeeded: address.ip.value).bigEndian
    let sent = withUnsafePointer(to: &target) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        sendto(socket, datagram, datagram.count, 0, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    #expect(sent == datagram.count)
  }

  /// Puts in the device's place what cannot be read from. How reading fails then.
  func loseDevice() -> CInt {
    mayLoseDevice = true
    let folder = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    #expect(folder >= 0 && dup2(folder, inside) == inside)
    close(folder)
    // Whoever waits for the former device notices nothing.
    _ = dataPath.seal([], for: PeerID(0))
    return EISDIR
  }

  /// Waits, without collecting, until the condition holds or ten seconds have passed.
  func sees(_ isDone: () -> Bool) -> Bool {
    for _ in 0..<10_000 {
      if isDone() { return true }
      usleep(1000)
    }
    return false
  }

  /// Collects until the condition holds or two seconds have passed.
  func collect(until isDone: () -> Bool) -> Bool {
    for _ in 0..<40 {
      dataPath.collect { message, _ in
        switch message {
        case .event(let event): events.append(event)
        case .handshake(let bytes, _): handshakes.append(bytes)
        case .disco(let bytes, let source): disco.append((bytes, source))
        case .stun(let bytes, let source): stun.append((bytes, source))
        case .notice(let packet, let peer): notices.append((packet, peer))
        case .relayed(let datagram, let peer): relayed.append((Array(datagram), peer))
        case .deviceLost(let number):
          losses.append(number)
          if !mayLoseDevice { Issue.record("the device was lost: \(number)") }
        }
      }
      if isDone() { return true }
      var set = pollfd(fd: dataPath.doorbell, events: Int16(POLLIN), revents: 0)
      _ = poll(&set, 1, 50)
    }
    return false
  }
}

/// Two machines with one agreed session, as after a handshake that the first began.
struct Link {
  let a: Machine
  let b: Machine
  let keys = SecretBytes([UInt8](repeating: 1, count: 32))
  let otherKeys = SecretBytes([UInt8](repeating: 2, count: 32))
  let aSession: SessionMemory
  let bSession: SessionMemory

  /// - Parameter isStarted: whether the first machine's threads run.
  init(
    _ addresses: (String, String) = ("10.200.0.1", "10.200.0.2"), establishedAt: Instant = .now(),
    threads: DataPath.Threads = .one, offloads: Offloads = [], isStarted: Bool = true
  ) throws {
    a = try Machine(addresses.0, threads: threads, offloads: offloads, isStarted: isStarted)
    b = try Machine(addresses.1, threads: threads, offloads: offloads)
    func session(_ role: Session.Role, _ local: UInt32, _ remote: UInt32) -> Session {
      Session(
        id: SessionID(UInt64(local)), peer: PeerID(1), role: role, localIndex: local, remoteIndex: remote,
        establishedAt: establishedAt)
    }
    aSession = SessionMemory(
      session(.initiator, 100, 200), keys: SessionKeys(send: keys, receive: otherKeys))
    bSession = SessionMemory(
      session(.responder, 200, 100), keys: SessionKeys(send: otherKeys, receive: keys))
  }

  func table(
    _ here: Machine, _ there: Machine, sealing: SessionMemory?, opening: [SessionMemory], allowed: [String]? = nil,
    endpoint: SocketAddress? = nil, way: Way = .direct, innerLimit: Int? = nil, filter: PacketFilter = .acceptAll
  ) -> ForwardingTable {
    var allowedIPs = AllowedIPs()
    for prefix in allowed ?? ["\(there.address)", "\(there.address6)"] {
      allowedIPs.insert(IPPrefix(prefix)!, for: PeerID(1))
    }
    return ForwardingTable(
      peers: [
        .init(
          memory: here.peer, sealing: sealing, opening: opening,
          endpoint: way == .relayed ? nil : endpoint ?? there.endpoint, viaRelay: way != .direct,
          innerLimit: innerLimit)
      ],
      policy: .init(allowedIPs: allowedIPs.table(), ownAddresses: [here.address, here.address6], filter: filter))
  }

  func publishBoth(_ way: Way = .direct, innerLimit: Int? = nil, filter: PacketFilter = .acceptAll) {
    for (here, there, session) in [(a, b, aSession), (b, a, bSession)] {
      here.dataPath.publish(
        table(here, there, sealing: session, opening: [session], way: way, innerLimit: innerLimit, filter: filter))
    }
  }

  /// How sealed packets go to the other machine.
  enum Way: CaseIterable { case direct, relayed, both }

  /// The relay: brings what one machine has for the other. How many datagrams it brought.
  func relay(from: Machine, to: Machine) -> Int {
    defer { from.relayed = [] }
    for (datagram, _) in from.relayed {
      let isTaken = datagram.withUnsafeBytes { to.dataPath.relayInlet.put($0) }
      #expect(isTaken)
    }
    return from.relayed.count
  }

  func packet(_ from: Machine, _ to: Machine, _ body: [UInt8] = []) -> [UInt8] {
    SamplePacket.make(from: "\(from.address)", to: "\(to.address)", protocol: 17, ports: (1000, 2000), body: body)
  }
}
