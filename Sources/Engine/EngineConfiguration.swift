public import Cryptography
public import DataPath
import Glibc
public import Traversal
public import Wire

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
  /// The file of a network namespace (`/run/netns/…`) in which device and sockets are opened; `nil`: the process's own. Relays are
  /// dialled from the process's own in any case.
  public var networkNamespace: String?
  /// What the kernel may do for the packet path, where it can.
  public var offloads: Offloads
  public var threads: DataPath.Threads
  /// The key for path discovery. `nil`: plain WireGuard, to the addresses that records and packets give; nothing that follows counts.
  public var discoKey: X25519PrivateKey?
  /// Whether ports of a NAT are guessed where nothing else gets through (`reach.md` 5, "Hard NATs").
  public var probesPorts: Bool
  /// Asked beside the network's relays which address they see.
  public var stunServers: [STUNHost]
  /// The relay of this process, if it runs one.
  public var localRelay: LocalRelay?
  /// Ports of this machine that a gateway shall map, besides the engine's own.
  public var mappedPorts: [PortMapping.Port]
  /// What initiations say of the time is not before this.
  public var earliestTimestamp: WallTime?

  public init(
    privateKey: X25519PrivateKey, interfaceName: String? = nil, mtu: Int = 1280, port: UInt16? = nil,
    preferredPort: UInt16 = EngineConfiguration.usualPort, networkNamespace: String? = nil,
    offloads: Offloads = .all, threads: DataPath.Threads = .suiting(cores: EngineConfiguration.cores),
    discoKey: X25519PrivateKey? = nil, probesPorts: Bool = true, stunServers: [STUNHost] = [],
    localRelay: LocalRelay? = nil, mappedPorts: [PortMapping.Port] = []
  ) {
    self.privateKey = privateKey
    self.interfaceName = interfaceName
    self.mtu = mtu
    self.port = port
    self.preferredPort = preferredPort
    self.networkNamespace = networkNamespace
    self.offloads = offloads
    self.threads = threads
    self.discoKey = discoKey
    self.probesPorts = probesPorts
    self.stunServers = stunServers
    self.localRelay = localRelay
    self.mappedPorts = mappedPorts
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

/// A STUN server that somebody configured.
public struct STUNHost: Hashable, Sendable {
  /// A name or an address.
  public var host: String
  public var port: UInt16

  public init(host: String, port: UInt16) {
    self.host = host
    self.port = port
  }

  /// `stun.example.org:3478`, `192.0.2.1:3478`, `[2001:db8::1]:3478`.
  public init?(_ text: String) {
    if let address = SocketAddress(text) {
      guard address.port > 0 else { return nil }
      self.init(host: address.ip.description, port: address.port)
      return
    }
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    guard parts.count == 2, let port = UInt16(parts[1]), port > 0, (1...253).contains(parts[0].utf8.count),
      parts[0].utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: "[") && $0 != UInt8(ascii: "]") })
    else { return nil }
    self.init(host: String(parts[0]), port: port)
  }
}

extension STUNHost: CustomStringConvertible {
  /// As it is read.
  public var description: String { IPAddress(host).map { "\(SocketAddress($0, port: port))" } ?? "\(host):\(port)" }
}

/// A relay in the engine's own process: reached without leaving the machine, and no witness of which address others see.
public struct LocalRelay: Hashable, Sendable {
  /// SHA-256 of its certificate's DER: the relay of the netmap with this pin is the one.
  public var certificate: Bytes32
  /// Where it listens on the loopback interface.
  public var address: SocketAddress

  public init(certificate: Bytes32, address: SocketAddress) {
    self.certificate = certificate
    self.address = address
  }
}
