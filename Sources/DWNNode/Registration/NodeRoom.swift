#if canImport(Glibc)
  import Glibc
#endif
import DWN
import Identity
import Synchronization
import Wire

/// Whether the node as a whole has room for something. What is stored is summed up once a second at most, but by everybody who asks
/// before there is a first sum; what is taken in meanwhile is added.
final class NodeRoom: Sendable {
  /// Bytes that are free on a disk for who is not root; `nil` if nobody knows.
  typealias FreeDisk = @Sendable () -> Int?

  private struct State {
    var totals: StoreTotals?
    /// Tenants who came since then: by name, since a write may be made twice before it is committed.
    var newTenants: Set<DID> = []
    var summedAt: Instant?
    var isSumming = false
  }

  private static let validity = Duration.seconds(1)

  private let bounds: NodeBounds
  private let freeDisk: FreeDisk
  private let state = Mutex(State())

  init(_ bounds: NodeBounds, freeDisk: @escaping FreeDisk) {
    self.bounds = bounds
    self.freeDisk = freeDisk
  }

  /// Of the disk that a folder is on, or is going to be on.
  static func freeDisk(of folder: DataFolder) -> FreeDisk {
    let path = FileCopy.parent(of: folder.path)
    return {
      var status = statvfs()
      guard statvfs(path, &status) == 0 else { return nil }
      return Int(clamping: UInt64(status.f_bavail) &* UInt64(status.f_frsize))
    }
  }

  /// Throws status 507 if there is no room for so many bytes of somebody for whom the bounds hold.
  func check(_ size: Int, in store: any MessageStore, now: Instant) async throws {
    if bounds.freeDisk > 0, let free = freeDisk(), free - size < bounds.freeDisk {
      throw DWNError(
        507, "NodeDiskReserved", "the disk of this node is nearly full: what is left is for its own tenants")
    }
    guard bounds.total != nil || bounds.tenants != nil else { return }
    try await sumUp(store, now)
    let bytes = state.withLock { $0.totals?.bytes ?? 0 }
    if let total = bounds.total, bytes + size > total {
      throw DWNError(507, "NodeStorageExceeded", "this node holds as much as it may: \(total) bytes")
    }
  }

  /// Makes a write of somebody's within a transaction. Throws status 507 if its tenant, who has nothing here yet, would be one too many.
  /// Who is refused for another reason takes nobody's place.
  func counting(_ tenant: DID, _ transaction: any MessageReader, _ write: () throws -> Reply) throws -> Reply {
    guard let most = bounds.tenants, try transaction.head() == 0 else { return try write() }
    guard state.withLock({ ($0.totals?.tenants ?? 0) + $0.newTenants.subtracting([tenant]).count }) < most else {
      throw DWNError(507, "NodeTenantsExceeded", "this node has as many tenants as it may: \(most)")
    }
    let reply = try write()
    if reply.status.isSuccess { state.withLock { _ = $0.newTenants.insert(tenant) } }
    return reply
  }

  /// Counts what was taken in.
  func took(_ size: Int) { state.withLock { $0.totals?.bytes += size } }

  private func sumUp(_ store: any MessageStore, _ now: Instant) async throws {
    let isMine = state.withLock { state in
      if let summedAt = state.summedAt, state.isSumming || now - summedAt < Self.validity { return false }
      state.isSumming = true
      return true
    }
    guard isMine else { return }
    defer { state.withLock { $0.isSumming = false } }
    let totals = try await store.totals()
    state.withLock {
      $0.totals = totals
      $0.newTenants = []
      $0.summedAt = now
    }
  }
}
