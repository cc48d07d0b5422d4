public import Wire

/// How the records of a network are encrypted, as the anchor's installed definition declares it.
///
/// The network's id commits to it: the tags of its initial write cannot change without the id (`trust.md` section 9).
public enum Envelope: String, Hashable, Sendable {
  case jwe
  case v1

  /// The tag of an initial `network` write that commits the network to its envelope for ever.
  public static let tag = "envelope"

  /// What the tags of a network's initial write commit it to; `nil` for an envelope that this version does not know.
  public init?(committedIn tags: JSONObject?) {
    guard let value = tags?[Self.tag] else {
      self = .v1
      return
    }
    guard value.string == Self.jwe.rawValue else { return nil }
    self = .jwe
  }

  /// Whether heads of the anchor say what is current. Without them a node can show again what was removed, to whoever has not seen
  /// that: the network is *replayable*.
  public var hasHeads: Bool { self == .jwe }

  /// Whether relays that machines run for the network are entered in its records by themselves. With encryption v1 a machine's endpoint
  /// record alone tells of its relay, and the id follows from the machine (`RelayPin`): a relay record would take other programs'
  /// own relays from them, and cannot name a certificate (`reach.md` section 2).
  public var registersRelays: Bool { self == .jwe }
}
