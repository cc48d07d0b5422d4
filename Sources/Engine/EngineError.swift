public import Wire

/// Why the engine cannot run, or cannot do what a netmap asks.
public enum EngineError: Error, Hashable, Sendable {
  /// The MTU asked for.
  case mtuOutOfRange(Int)
  case badInterfaceName(String)
  /// An interface of this name exists.
  case interfaceNameTaken(String)
  /// `mesh0` and all its successors are taken.
  case noFreeInterfaceName
  /// `/dev/net/tun` does not exist.
  case noTunDevice
  /// The process may not make network interfaces.
  case noTunPermission
  case portInUse(UInt16)
  /// Another interface of this host has the address already.
  case addressInUse(IPAddress, interface: String)
  /// The netmap is for another key.
  case foreignNetmap
  /// Who was asked for a ping speaks plain WireGuard.
  case noDiscoKey
  /// A netmap came after `stop()`.
  case stopped
  /// The named network namespace cannot be entered.
  case networkNamespace(String, reason: String)
  /// The cipher does not give on this machine what it gives on others.
  case brokenCipher
  /// Something that the kernel refused: what was tried, and its reason.
  case system(String, reason: String)
}

extension EngineError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .mtuOutOfRange(let mtu):
      "MTU \(mtu) is out of range: choose one from \(EngineConfiguration.mtuRange.lowerBound) to "
        + "\(EngineConfiguration.mtuRange.upperBound) with --mtu"
    case .badInterfaceName(let name):
      "\"\(name)\" cannot be an interface's name: use 1 to 15 printable ASCII characters without '/', ':' and '%'"
    case .interfaceNameTaken(let name):
      "an interface named \(name) exists already: choose another name with --interface"
    case .noFreeInterfaceName:
      "the interface names mesh0 to mesh255 are all taken: name another with --interface"
    case .noTunDevice:
      "/dev/net/tun is missing: load the module with 'modprobe tun', or give the container that device"
    case .noTunPermission:
      "no permission to make a network interface: run as root, give the service CAP_NET_ADMIN "
        + "(AmbientCapabilities=CAP_NET_ADMIN), or once 'setcap cap_net_admin+ep' on the meshd binary"
    case .portInUse(let port):
      "UDP port \(port) is in use: choose another with --port, or leave it out to take a free one"
    case .addressInUse(let address, let interface):
      "the mesh address \(address) is already on the interface \(interface): is another daemon of this identity running?"
    case .foreignNetmap:
      "the netmap is for another key than this engine's: start an engine with the key of the netmap's node"
    case .noDiscoKey:
      "no record tells its key for path discovery: it has not published any yet, or speaks plain WireGuard, which answers no such pings"
    case .stopped:
      "the engine has been stopped: start another"
    case .networkNamespace(let path, let reason):
      "cannot enter the network namespace \(path): \(reason)"
    case .brokenCipher:
      "ChaCha20-Poly1305 gives wrong results on this machine, so no packet would be safe: check its processor and memory"
    case .system(let action, let reason):
      "\(action): \(reason)"
    }
  }
}
