import CLinux
import CMnl
import DataPath
import Glibc
import Wire

/// Everything an engine has open: the TUN, the sockets, netlink, the timer, and the data path's thread.
final class EngineIO {
  let tunnel: TunnelDevice
  let sockets: UDPSockets
  /// For requests.
  let netlink: NetlinkSocket
  /// Tells of changed links, addresses and routes.
  let changes: NetlinkSocket
  let timer: BootTimer
  let dataPath: DataPath
  let settings: InterfaceSettings

  /// Opens all on the loop's thread, inside the network namespace that the configuration names, and starts the data thread.
  static func open(_ configuration: EngineConfiguration, on loop: ControlLoop) async throws -> sending EngineIO {
    try await Opener(loop: loop).open(configuration)
  }

  private actor Opener {
    private let loop: ControlLoop
    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    init(loop: ControlLoop) { self.loop = loop }

    func open(_ configuration: EngineConfiguration) throws -> sending EngineIO {
      // A thread of its own may live in another network namespace than the rest of the process.
      if let path = configuration.networkNamespace {
        let status = clinux_enter_network_namespace(path)
        guard status == 0 else { throw EngineError.networkNamespace(path, reason: reason(of: -status)) }
      }
      return try EngineIO(configuration)
    }
  }

  private init(_ configuration: EngineConfiguration) throws(EngineError) {
    // The sockets first: a port that is taken should not make an interface flicker.
    sockets = try UDPSockets(port: configuration.port, preferred: configuration.preferredPort)
    tunnel = try TunnelDevice(name: configuration.interfaceName, offloads: configuration.offloads)
    netlink = try NetlinkSocket()
    changes = try NetlinkSocket(
      groups: RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE)
    timer = try BootTimer()
    settings = InterfaceSettings(socket: netlink, index: tunnel.index)
    let descriptors = DataPath.Descriptors(
      tun: tunnel.descriptor, hasHeaders: tunnel.hasHeaders, ipv4: sockets.ipv4, ipv6: sockets.ipv6,
      offloads: tunnel.offloads.union(sockets.enable(configuration.offloads)))
    guard
      let dataPath = DataPath(
        descriptors, mtu: configuration.mtu, random: SystemRandom(), threads: configuration.threads)
    else {
      throw .system("making the data path's descriptors", reason: reason(of: errno))
    }
    self.dataPath = dataPath
    let status = settings.bringUp(mtu: configuration.mtu)
    guard status == 0 else {
      if status == EPERM { throw .noTunPermission }
      throw .system("bringing up the interface \(tunnel.name)", reason: reason(of: status))
    }
    if tunnel.offloads.contains(.tso) {
      // Otherwise a full super-packet's train would need a second, nearly empty one. A kernel that refuses is slower, no more.
      _ = settings.limitSegments(Offloads.segmentsOfTrain(mtu: configuration.mtu))
    }
    guard dataPath.start() else { throw .system("starting the data path's thread", reason: reason(of: EAGAIN)) }
  }

  deinit { close() }

  /// Stops the data path. The descriptors are closed when this object goes.
  func close() { dataPath.stop() }
}

/// A deadline on the boot-time clock as a descriptor.
final class BootTimer {
  let descriptor: CInt
  private var deadline: Instant?

  init() throws(EngineError) {
    descriptor = clinux_timer_create()
    guard descriptor >= 0 else { throw .system("making a timer", reason: reason(of: -descriptor)) }
  }

  deinit { if descriptor >= 0 { close(descriptor) } }

  /// Readable from this time on; `nil`: never.
  func set(_ deadline: Instant?) {
    guard deadline != self.deadline else { return }
    self.deadline = deadline
    // Zero would disarm it.
    _ = clinux_timer_set(descriptor, deadline.map { max($0.nanoseconds, 1) } ?? 0)
  }

  /// It has fired: not readable until it is set again. How much too late it is: the machine, or this process, has slept.
  @discardableResult
  func clear() -> Duration {
    defer { deadline = nil }
    let late = deadline.map { Instant.now() - $0 } ?? .zero
    clinux_event_clear(descriptor)
    return late
  }
}
