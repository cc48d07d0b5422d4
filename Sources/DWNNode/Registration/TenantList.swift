public import Identity
import Synchronization

/// Tenants who come and go while a node runs, such as the members of the mesh whose records it holds.
public final class TenantList: Hashable, Sendable {
  private let dids: Mutex<Set<DID>>

  public init(_ dids: Set<DID>) {
    self.dids = Mutex(dids)
  }

  public func contains(_ did: DID) -> Bool { dids.withLock { $0.contains(did) } }

  /// From the next message on it is these, and nobody else.
  public func replace(with dids: Set<DID>) { self.dids.withLock { $0 = dids } }

  public static func == (a: TenantList, b: TenantList) -> Bool { a === b }
  public func hash(into hasher: inout Hasher) { hasher.combine(ObjectIdentifier(self)) }
}
