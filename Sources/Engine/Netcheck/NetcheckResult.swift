public import Netmap
public import Traversal
public import Wire

/// What a check of the network found, for people: `meshd netcheck`.
public struct NetcheckResult: Hashable, Sendable {
  /// Of a relay of the network.
  public struct RelayResult: Hashable, Sendable {
    public var id: UInt16
    public var region: String
    /// The least over all the ways that were tried; `nil`: it did not answer.
    public var latency: Duration?
    /// Why there is no connection with it, when one was tried.
    public var error: String?
    /// What its STUN says instead of an address.
    public var trouble: NetcheckReport.Trouble?
  }

  /// Of a STUN server that this machine was told of.
  public struct ServerResult: Hashable, Sendable {
    public var server: STUNHost
    public var latency: Duration?
    /// Whether its name stands for an address.
    public var isKnown: Bool
    public var trouble: NetcheckReport.Trouble?
  }

  /// Whether UDP gets through. `nil`: not known, since nobody could be asked or answered sensibly, and no peer said anything lately.
  public var hasUDP: Bool?
  public var hasIPv4: Bool?
  public var hasIPv6: Bool?
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
  public var mappingTrouble: PortMapper.Trouble?
  /// By id.
  public var relays: [RelayResult] = []
  /// In the order of the configuration.
  public var servers: [ServerResult] = []
  public var homeRelay: UInt16?
  public var standbyRelay: UInt16?
}
