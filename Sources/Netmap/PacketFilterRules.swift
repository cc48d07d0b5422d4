public import Wire

/// Which packets may enter from the mesh: an ordered list in which the first match decides, and a default.
public struct PacketFilterRules: Hashable, Sendable {
  public enum Action: String, Hashable, Sendable {
    case accept
    case drop
  }

  /// One rule. An empty list of blocks, ports or protocols matches nothing; "any" is spelled out.
  public struct Rule: Hashable, Sendable {
    public var action: Action
    public var sources: [IPPrefix]
    public var sourcePorts: [ClosedRange<UInt16>]
    public var destinations: [IPPrefix]
    public var destinationPorts: [ClosedRange<UInt16>]
    /// IP protocol numbers; `nil`: every protocol.
    public var protocols: [UInt8]?

    public init(
      action: Action, sources: [IPPrefix], sourcePorts: [ClosedRange<UInt16>] = [0...UInt16.max],
      destinations: [IPPrefix], destinationPorts: [ClosedRange<UInt16>] = [0...UInt16.max], protocols: [UInt8]? = nil
    ) {
      self.action = action
      self.sources = sources
      self.sourcePorts = sourcePorts
      self.destinations = destinations
      self.destinationPorts = destinationPorts
      self.protocols = protocols
    }
  }

  public var rules: [Rule]
  public var defaultAction: Action

  public init(rules: [Rule], defaultAction: Action) {
    self.rules = rules
    self.defaultAction = defaultAction
  }

  public static let acceptAll = PacketFilterRules(rules: [], defaultAction: .accept)
  public static let denyAll = PacketFilterRules(rules: [], defaultAction: .drop)
}
