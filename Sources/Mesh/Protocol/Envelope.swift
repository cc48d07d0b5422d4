/// How the records of a network are encrypted, as the anchor's installed definition declares it.
public enum Envelope: String, Hashable, Sendable {
  case jwe
  case v1

  /// The tag of an initial `network` write that commits the network to its envelope for ever (`trust.md` section 9).
  public static let tag = "envelope"
}
