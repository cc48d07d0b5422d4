import Identity
import Synchronization

@testable import DWNNode

/// A store that also tells somebody else what was committed, before anybody else hears of it.
final class WatchedStore: MessageStore {
  private let store: any MessageStore
  private let watch: @Sendable (_ tenant: DID, _ entries: [StoredMessage]) -> Void

  init(_ store: any MessageStore, watch: @escaping @Sendable (_ tenant: DID, _ entries: [StoredMessage]) -> Void) {
    self.store = store
    self.watch = watch
    store.observe(watch)
  }

  var epoch: String { store.epoch }
  var dataFolder: DataFolder { store.dataFolder }

  func observe(_ observer: @escaping @Sendable (_ tenant: DID, _ entries: [StoredMessage]) -> Void) {
    let watch = watch
    store.observe { tenant, entries in
      watch(tenant, entries)
      observer(tenant, entries)
    }
  }

  func write<Result: Sendable>(
    _ tenant: DID, _ body: @escaping @Sendable (any MessageTransaction) throws -> Result
  ) async throws -> Result { try await store.write(tenant, body) }

  func read<Result: Sendable>(
    _ tenant: DID, _ body: @escaping @Sendable (any MessageReader) throws -> Result
  ) async throws -> Result { try await store.read(tenant, body) }

  func summaries() async throws -> [TenantSummary] { try await store.summaries() }
  func totals() async throws -> StoreTotals { try await store.totals() }
  func registrations() async throws -> [TenantRegistration] { try await store.registrations() }
  func register(_ registration: TenantRegistration) async throws { try await store.register(registration) }
  func releaseMemory() { store.releaseMemory() }
  func close() async { await store.close() }
}
