import CLinux
import DataPath
import Glibc
import Wire

/// The engine's UDP sockets: one per family that the host has, on one port.
final class UDPSockets {
  /// What a burst at a few gigabits per second needs; the kernel may allow less.
  private static let bufferSize: CInt = 7 << 20
  /// Attempts to find a port that is free in both families.
  private static let attempts = 32

  let ipv4: CInt?
  let ipv6: CInt?
  let port: UInt16

  /// - Parameter port: this one or none; `nil`: `preferred`, else any free one.
  init(port: UInt16?, preferred: UInt16) throws(EngineError) {
    let pair: Pair
    if let port {
      guard let found = try Pair(port) else { throw .portInUse(port) }
      pair = found
    } else if preferred != 0, let found = try Pair(preferred) {
      pair = found
    } else {
      pair = try UDPSockets.anyFree()
    }
    (ipv4, ipv6, self.port) = (pair.ipv4, pair.ipv6, pair.port)
  }

  deinit {
    if let ipv4 { close(ipv4) }
    if let ipv6 { close(ipv6) }
  }

  /// Switches on as many of the sockets' offloads as the kernel has for all of them, and says which.
  func enable(_ wanted: Offloads) -> Offloads {
    let descriptors = [ipv4, ipv6].compactMap { $0 }
    var enabled: Offloads = []
    if wanted.contains(.gso), descriptors.allSatisfy({ clinux_udp_can_segment($0) }) { enabled.insert(.gso) }
    if wanted.contains(.gro), descriptors.allSatisfy({ clinux_udp_coalesce($0) == 0 }) { enabled.insert(.gro) }
    return enabled
  }

  func has(_ family: IPAddress.Family) -> Bool { (family == .v4 ? ipv4 : ipv6) != nil }

  /// Sends one datagram. What the network does with it is not known; a refusal of the kernel is returned as its number.
  @discardableResult
  func send(_ message: [UInt8], to address: SocketAddress) -> CInt {
    guard let descriptor = address.ip.family == .v4 ? ipv4 : ipv6 else { return EAFNOSUPPORT }
    return Self.transmit(message, to: address, over: descriptor)
  }

  /// Sends one datagram from a port of its own, which nobody listens on.
  static func sendOnce(_ message: [UInt8], to address: SocketAddress) {
    let descriptor = clinux_udp_open(address.ip.family == .v4 ? AF_INET : AF_INET6, 0, 65536)
    guard descriptor >= 0 else { return }
    transmit(message, to: address, over: descriptor)
    close(descriptor)
  }

  @discardableResult
  static func transmit(_ message: [UInt8], to address: SocketAddress, over descriptor: CInt) -> CInt {
    var kernel = clinux_address(address)
    let length = kernel.length
    let sent = withUnsafePointer(to: &kernel) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        sendto(descriptor, message, message.count, CInt(MSG_DONTWAIT), $0, length)
      }
    }
    return sent < 0 ? errno : 0
  }

  private static func anyFree() throws(EngineError) -> Pair {
    for _ in 0..<attempts {
      if let pair = try Pair(0) { return pair }
    }
    throw .system("finding a free UDP port", reason: reason(of: EADDRINUSE))
  }

  private struct Pair {
    let ipv4: CInt?
    let ipv6: CInt?
    let port: UInt16

    /// `nil` if somebody has the port. A family that the host does not have is left out.
    init?(_ wanted: UInt16) throws(EngineError) {
      let four = clinux_udp_open(AF_INET, wanted, UDPSockets.bufferSize)
      if four == -EADDRINUSE { return nil }
      guard four >= 0 || UDPSockets.isMissingFamily(four) else {
        throw .system("opening UDP port \(wanted)", reason: reason(of: -four))
      }
      let chosen = wanted != 0 ? wanted : four >= 0 ? UInt16(truncatingIfNeeded: clinux_udp_port(four)) : 0
      let six = clinux_udp_open(AF_INET6, chosen, UDPSockets.bufferSize)
      guard six >= 0 || UDPSockets.isMissingFamily(six) else {
        if four >= 0 { close(four) }
        if six == -EADDRINUSE { return nil }
        throw .system("opening UDP port \(chosen)", reason: reason(of: -six))
      }
      guard four >= 0 || six >= 0 else {
        throw .system("opening a UDP socket", reason: "this host has neither IPv4 nor IPv6")
      }
      ipv4 = four >= 0 ? four : nil
      ipv6 = six >= 0 ? six : nil
      port = chosen != 0 ? chosen : UInt16(truncatingIfNeeded: clinux_udp_port(six))
    }
  }

  private static func isMissingFamily(_ status: CInt) -> Bool {
    status == -EAFNOSUPPORT || status == -EPROTONOSUPPORT || status == -EADDRNOTAVAIL
  }
}
