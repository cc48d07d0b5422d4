public import Netmap
public import Traversal
public import Wire

/// What a check of the network found, for people: `meshd netcheck`.
public struct NetcheckResult: Hashable, Sendable {
  public struct RelayResult: Hashable, Sendable {
    public var id: UInt16
    public var region: String
    /// The least over all the ways that were tried; `nil`: it did not answer.
    public var latency: Duration?
    /// Why there is no connection with it, when one was tried.
    public var error: String?
  }

  public enum MappingTrouble: Hashable, Sendable {
    /// The gateway maps nothing, and says why by a number.
    case refused(PortMapper.Refusal)
    /// Its address outside is one of a private network: it stands behind another NAT.
    case behindNAT(IPAddress)
  }

  public var hasIPv4 = false
  public var hasIPv6 = false
  /// The addresses that others see.
  public var globalIPv4: SocketAddress?
  public var globalIPv6: SocketAddress?
  /// `nil`: not known.
  public var natMapping: NATMapping?
  /// Whether this machine reaches itself by its address outside; `nil`: not tried.
  public var hairpin: Bool?
  /// The ways to have ports mapped that the gateway answers to, whatever it says.
  public var portMapping: Set<PortMapping.Service> = []
  /// Why nobody outside gets in by what it maps; `nil`: no reason is known.
  public var mappingTrouble: MappingTrouble?
  /// By id.
  public var relays: [RelayResult] = []
  public var homeRelay: UInt16?
  public var standbyRelay: UInt16?

  public var hasUDP: Bool { hasIPv4 || hasIPv6 }
}
