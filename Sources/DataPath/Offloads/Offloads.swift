import WireGuard

/// What the kernel does for the packet path: it handles large pieces, and cuts them up, or joins them, itself.
///
/// Each works, or is missing, by itself; without any of them every packet has a system call of its own.
public struct Offloads: OptionSet, Hashable, Sendable {
  public let rawValue: UInt8

  public init(rawValue: UInt8) { self.rawValue = rawValue }

  /// The TUN hands over and takes TCP super-packets, and packets whose checksum is still to be computed (`TUN_F_TSO4`…).
  public static let tso = Offloads(rawValue: 1)
  /// The TUN hands over and takes UDP super-packets (`TUN_F_USO4`…, Linux 6.2). Not without `tso`.
  public static let uso = Offloads(rawValue: 2)
  /// A socket takes a train of datagrams and cuts it (`UDP_SEGMENT`).
  public static let gso = Offloads(rawValue: 4)
  /// A socket hands over datagrams of one flow as a train (`UDP_GRO`).
  public static let gro = Offloads(rawValue: 8)

  public static let all: Offloads = [.tso, .uso, .gso, .gro]

  private static let named: [(String, Offloads)] = [("tso", .tso), ("uso", .uso), ("gso", .gso), ("gro", .gro)]

  /// The names by which people know them.
  public var names: [String] { Offloads.named.filter { contains($0.1) }.map(\.0) }

  /// One of the names, or `all`.
  public init?(named name: String) {
    if name == "all" {
      self = .all
    } else if let known = Offloads.named.first(where: { $0.0 == name }) {
      self = known.1
    } else {
      return nil
    }
  }

  /// How many full segments at this MTU make a super-packet whose sealed datagrams fit into one train.
  public static func segmentsOfTrain(mtu: Int) -> Int {
    DatagramTrains.greatestLength / (mtu + TransportMessage.overhead)
  }

  /// Those that can work when others are missing.
  public var consistent: Offloads { contains(.tso) ? self : subtracting(.uso) }
}
