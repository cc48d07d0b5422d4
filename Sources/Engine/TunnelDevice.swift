import CLinux
import Glibc

/// An open TUN. The interface lives as long as this value does.
final class TunnelDevice {
  let descriptor: CInt
  let name: String
  let index: CInt

  /// Names that are tried when none is asked for.
  private static let automaticNames = (0...255).map { "mesh\($0)" }

  /// Creates the interface, in the thread's network namespace: layer 3, down, without addresses.
  init(name wanted: String?) throws(EngineError) {
    let (descriptor, name) = try TunnelDevice.open(wanted)
    self.descriptor = descriptor
    self.name = name
    index = CInt(if_nametoindex(name))
    // The descriptor is closed by `deinit`, since everything is set.
    guard index > 0 else { throw .system("finding the interface \(name)", reason: reason(of: errno)) }
  }

  deinit { close(descriptor) }

  private static func open(_ wanted: String?) throws(EngineError) -> (CInt, String) {
    for name in wanted.map({ [$0] }) ?? automaticNames {
      let descriptor = clinux_tun_create(name)
      if descriptor >= 0 { return (descriptor, name) }
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
