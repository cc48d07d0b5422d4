public import DWN

/// The names of the protocol in which the anchor hands out network keys.
public enum KeyDeliveryProtocol {
  public static let uri = "https://identity.foundation/protocols/key-delivery"
  public static let contextKey: ProtocolPath = "contextKey"

  /// Tags of a delivery, all three required.
  public enum Tag {
    /// The URI of the mesh protocol.
    public static let protocolURI = "protocol"
    /// The network's id.
    public static let contextID = "contextId"
    /// The number of the newest epoch in the delivery, an integer.
    public static let epoch = "epoch"
  }
}
