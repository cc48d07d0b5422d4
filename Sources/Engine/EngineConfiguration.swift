public import Cryptography
public import DataPath
import Glibc

/// What an engine is made from: everything that stays the same while netmaps come and go.
public struct EngineConfiguration: Sendable {
  /// WireGuard's limits on the tunnel's MTU: IPv6's minimum below, jumbo frames above.
  public static let mtuRange = 1280...9000
  /// Tried when no port is asked for; a free one is taken if somebody else has it.
  public static let usualPort: UInt16 = 41641

  /// The machine's WireGuard key. Its public half must be the key of every netmap's `node`.
  public var privateKey: X25519PrivateKey
  /// The name of the device; `nil`: the first free one of `mesh0`, `mesh1`, …
  public var interfaceName: String?
  public var mtu: Int
  /// The UDP port. If it is taken the engine does not start. `nil`: `preferredPort`, else any free one.
  public var port: UInt16?
  public var preferredPort: UInt16
  /// The file of a network namespace (`/run/netns/…`) in which device and sockets are opened; `nil`: the process's own.
  public var networkNamespace: String?
  /// What the kernel may do for the packet path, where it can.
  public var offloads: Offloads
  public var threads: DataPath.Threads

  public init(
    privateKey: X25519PrivateKey, interfaceName: String? = nil, mtu: Int = 1280, port: UInt16? = nil,
    preferredPort: UInt16 = EngineConfiguration.usualPort, networkNamespace: String? = nil,
    offloads: Offloads? = .all, threads: DataPath.Threads = .suiting(cores: EngineConfiguration.cores)
  ) {
    self.privateKey = privateKey
    self.interfaceName = interfaceName
    self.mtu = mtu
    self.port = port
    self.preferredPort = preferredPort
    self.networkNamespace = networkNamespace
    self.offloads = offloads ?? .all
    self.threads = threads
  }

  /// What the kernel may do for the packet path when these are switched off, by name: `tso`, `uso`, `gso`, `gro`, `all`; or `none`.
  /// `nil` if a name is unknown.
  public static func offloads(without names: [String]) -> Offloads? {
    var offloads = Offloads.all
    for name in names where name != "none" {
      guard let one = Offloads(named: name) else { return nil }
      offloads.subtract(one)
    }
    return offloads
  }

  /// How many cores this machine has.
  public static var cores: Int { max(1, sysconf(CInt(_SC_NPROCESSORS_ONLN))) }

  /// Whether the kernel takes this as the name of an interface.
  public static func isInterfaceName(_ name: String) -> Bool {
    (1...15).contains(name.utf8.count) && name != "." && name != ".."
      && name.utf8.allSatisfy {
        $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: "/") && $0 != UInt8(ascii: ":") && $0 != UInt8(ascii: "%")
      }
  }

  func validate() throws(EngineError) {
    guard Self.mtuRange.contains(mtu) else { throw .mtuOutOfRange(mtu) }
    if let interfaceName, !Self.isInterfaceName(interfaceName) { throw .badInterfaceName(interfaceName) }
  }
}
