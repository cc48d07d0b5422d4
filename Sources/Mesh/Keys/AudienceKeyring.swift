public import Cryptography
public import DWN
import Wire

/// The private keys of a network's audiences that somebody holds: in a network with encryption v1, what its records are read with.
public struct AudienceKeyring: Sendable {
  public let network: NetworkID
  /// By key id.
  private var deliveries: [String: DeliveryRecord] = [:]

  /// An anchor that hands out more keys than this to one machine does something else than running a mesh.
  public static let capacity = 256

  public init(network: NetworkID) {
    self.network = network
  }

  /// The key with this id, if it is that of the role.
  public func key(_ keyID: String, of role: ProtocolPath) -> X25519PrivateKey? {
    deliveries[keyID].flatMap { $0.name.rolePath == role ? $0.key : nil }
  }

  public var isEmpty: Bool { deliveries.isEmpty }

  /// Takes the key of an audience in this network. Says whether it was new.
  public mutating func add(_ delivery: DeliveryRecord) -> Bool {
    guard delivery.name.isAudience(of: network), deliveries[delivery.keyID] == nil, deliveries.count < Self.capacity
    else { return false }
    deliveries[delivery.keyID] = delivery
    return true
  }
}

extension AudienceKeyring: CustomStringConvertible, CustomReflectable {
  public var description: String { "keys of \(deliveries.count) audiences" }
  public var customMirror: Mirror { Mirror(self, children: []) }
}

extension AudienceName {
  /// Whether these are holders of a role of the mesh in this network.
  func isAudience(of network: NetworkID) -> Bool {
    protocolURI == MeshProtocol.uri && contextID?.root == network.recordID && contextID?.depth == rolePath.depth - 1
  }
}
