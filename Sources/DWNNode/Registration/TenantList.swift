public import Identity
import Synchronization

/// Tenants who come and go while a node runs, such as the members of the mesh whose records it holds.
public final class TenantList: Hashable, Sendable {
  /// Whose node it is: no quota holds for it.
  let owner: DID
  private let dids: Mutex<Set<DID>>

  /// The owner is always among them.
  public init(owner: DID) {
    self.owner = owner
    dids = Mutex([])
  }

  public func contains(_ did: DID) -> Bool { did == owner || dids.withLock { $0.contains(did) } }

  /// From the next message on it is these, and nobody else.
  public func replace(with dids: Set<DID>) { self.dids.withLock { $0 = dids } }

  public static func == (a: TenantList, b: TenantList) -> Bool { a === b }
  public func hash(into hasher: inout Hasher) { hasher.combine(ObjectIdentifier(self)) }
}
