public import Wire

// What is wrong with a router that answers.

extension PortMapper {
  /// What a router said instead of mapping a port.
  public struct Refusal: Hashable, Sendable {
    public var service: PortMapping.Service
    /// The service's own: RFC 6886 3.5, RFC 6887 7.4, UPnP's error codes.
    public var code: Int
  }

  /// Why nobody outside gets in by what a router maps.
  public enum Trouble: Hashable, Sendable {
    /// It maps nothing, and says why by a number.
    case refused(Refusal)
    /// Its address outside is one of a private network: it stands behind another NAT.
    case behindNAT(IPAddress)
    /// It answers, and was asked for ports by every way that it answers to: it maps none, and gives no reason. Its address outside may
    /// be none that anybody could be at.
    case mapsNothing
    /// What it says is none of the protocols that it was asked by.
    case nonsense
  }

  /// `nil`: none is known. As long as a router that answers is asked for the first time, there is none.
  public var trouble: Trouble? {
    let mappings = mappings
    if let inner = mappings.map(\.external.ip).first(where: \.isPrivate) { return .behindNAT(inner) }
    guard mappings.isEmpty else { return nil }
    if let refusal { return .refused(refusal) }
    if answering.isEmpty { return talksNonsense ? .nonsense : nil }
    // The pause has grown for every port that was asked for in vain, since it was last mapped.
    return wanted.values.contains { $0.pause > Self.firstPause } ? .mapsNothing : nil
  }
}
