public import Cryptography
public import DWN
public import Identity
import Synchronization
import Wire

/// The network keys that somebody holds, one for each epoch.
///
/// The anchor's keyring derives every key from its root; a member's holds what was delivered to it.
public struct NetworkKeyring: Sendable {
  public let network: NetworkID
  private var delivered: [KeyEpoch: X25519PrivateKey] = [:]
  private let derived: DerivedKeys?

  /// A member's epochs beyond this number are forgotten, oldest first. What stays readable is rewritten before that
  /// (`trust.md` section 7).
  public static let capacity = 64

  /// A member's keyring with nothing in it.
  public init(network: NetworkID) {
    self.network = network
    self.derived = nil
  }

  /// The anchor's keyring: it holds every epoch there can be.
  public init(network: NetworkID, anchor: MachineIdentity) {
    self.network = network
    self.derived = DerivedKeys(tree: KeyTree(anchor), network: network)
  }

  /// The keyring of whoever this is.
  public init(_ network: NetworkReference, of identity: MachineIdentity) {
    if identity.did == network.anchor {
      self.init(network: network.id, anchor: identity)
    } else {
      self.init(network: network.id)
    }
  }

  /// The key of an epoch, or `nil` when it was not delivered.
  public func key(of epoch: KeyEpoch) -> X25519PrivateKey? {
    derived?.key(of: epoch) ?? delivered[epoch]
  }

  /// The epochs delivered so far, newest first; empty for the anchor, who needs no delivery.
  public var epochs: [KeyEpoch] { delivered.keys.sorted(by: >) }

  /// Takes the keys out of a delivery of this network. Says whether anything was new, and so has to be stored.
  public mutating func merge(_ delivery: ContextKeyRecord) -> Bool {
    guard derived == nil, delivery.network == network else { return false }
    var isNew = false
    for (epoch, key) in [(delivery.epoch, delivery.key)] + delivery.earlier.map({ ($0.epoch, $0.key) })
    where delivered[epoch]?.bytes != key.bytes {
      delivered[epoch] = key
      isNew = true
    }
    for epoch in epochs.dropFirst(Self.capacity) { delivered[epoch] = nil }
    return isNew
  }
}

extension NetworkKeyring: CustomStringConvertible, CustomReflectable {
  public var description: String { derived == nil ? "keys of epochs \(epochs)" : "keys of all epochs" }
  public var customMirror: Mirror { Mirror(self, children: []) }
}

/// The anchor's network keys. Deriving one costs a scalar multiplication, and a mesh has one record after another of one epoch.
private final class DerivedKeys: Sendable {
  private let tree: KeyTree
  private let network: NetworkID
  private let known = Mutex<[KeyEpoch: X25519PrivateKey]>([:])

  init(tree: KeyTree, network: NetworkID) {
    self.tree = tree
    self.network = network
  }

  func key(of epoch: KeyEpoch) -> X25519PrivateKey {
    if let key = known.withLock({ $0[epoch] }) { return key }
    let key = tree.networkKey(network.recordID, epoch: epoch)
    known.withLock {
      // Epoch numbers come from records: somebody could name any number of them.
      if $0.count >= NetworkKeyring.capacity { $0.removeAll() }
      $0[epoch] = key
    }
    return key
  }
}
