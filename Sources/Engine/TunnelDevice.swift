import CLinux
import DataPath
import Glibc

/// An open TUN. The interface lives as long as this value does.
final class TunnelDevice {
  let descriptor: CInt
  let name: String
  let index: CInt
  /// Whether a virtio-net header stands before every packet.
  let hasHeaders: Bool
  /// What of the device's offloads works.
  let offloads: Offloads

  /// Names that are tried when none is asked for.
  private static let automaticNames = (0...255).map { "mesh\($0)" }

  /// Creates the interface, in the thread's network namespace: layer 3, down, without addresses. Of the offloads it has those that the
  /// kernel knows.
  init(name wanted: String?, offloads: Offloads) throws(EngineError) {
    let opened = try TunnelDevice.open(wanted, headers: offloads.contains(.tso))
    (descriptor, name, hasHeaders) = opened
    self.offloads =
      hasHeaders ? TunnelDevice.enable(offloads.intersection([.tso, .uso]), opened.descriptor) : []
    index = CInt(if_nametoindex(name))
    // The descriptor is closed by `deinit`, since everything is set.
    guard index > 0 else { throw .system("finding the interface \(name)", reason: reason(of: errno)) }
  }

  deinit { close(descriptor) }

  /// Switches on as many as the kernel takes together, and says which.
  private static func enable(_ wanted: Offloads, _ descriptor: CInt) -> Offloads {
    for offloads in [wanted, wanted.subtracting(.uso)] {
      let status = clinux_tun_set_offloads(descriptor, offloads.contains(.tso), offloads.contains(.uso))
      if status == 0 { return offloads }
    }
    return []
  }

  /// A kernel that knows no headers, as some that only play Linux do, gives a device without.
  private static func open(
    _ wanted: String?, headers: Bool
  ) throws(EngineError) -> (descriptor: CInt, name: String, hasHeaders: Bool) {
    for name in wanted.map({ [$0] }) ?? automaticNames {
      var hasHeaders = headers
      var descriptor = clinux_tun_create(name, hasHeaders)
      if descriptor == -EINVAL, hasHeaders {
        hasHeaders = false
        descriptor = clinux_tun_create(name, hasHeaders)
      }
      if descriptor >= 0 { return (descriptor, name, hasHeaders) }
      switch -descriptor {
      case EBUSY, EEXIST: if wanted != nil { throw .interfaceNameTaken(name) }
      case ENOENT, ENODEV, ENXIO: throw .noTunDevice
      case EPERM, EACCES: throw .noTunPermission
      case EINVAL: throw .badInterfaceName(name)
      default: throw .system("making the interface \(name)", reason: reason(of: -descriptor))
      }
    }
    throw .noFreeInterfaceName
  }
}
