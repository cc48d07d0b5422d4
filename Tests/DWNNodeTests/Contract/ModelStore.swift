import DWN
import Foundation
import Identity
import Synchronization
import TestSupport
import Wire

@testable import DWNNode

/// A store that is right because it is simple: everything is in arrays, and every question looks at every message.
///
/// Its disk is a value that outlives it. Writers take turns; what they do is done to a copy, which takes the place of the original
/// at the end.
final class ModelStore: MessageStore {
  final class Disk: Sendable {
    struct Content: Sendable {
      var tenants: [DID: ModelMessages] = [:]
      var registrations: [DID: TenantRegistration] = [:]
    }

    fileprivate let content = Mutex(Content())
    fileprivate let epoch = UUID().uuidString
    fileprivate let folderPath: String

    init(folderPath: String) { self.folderPath = folderPath }
  }

  private struct State {
    var isClosed = false
    var observer: (@Sendable (_ tenant: DID, _ entries: [StoredMessage]) -> Void)?
  }

  let dataFolder: DataFolder
  private let disk: Disk
  private let state = Mutex(State())
  private let turn = Mutex(())

  init(_ disk: Disk) {
    self.disk = disk
    dataFolder = DataFolder(path: disk.folderPath, largestStaging: 1 << 30, random: SystemRandom())
    let named = disk.content.withLock { content in
      Set(
        content.tenants.values.flatMap(\.rows).compactMap {
          if case .file(let file) = $0.data { file.name } else { nil }
        })
    }
    for name in (try? dataFolder.names()) ?? [] where !named.contains(name) { dataFolder.remove(name) }
  }

  var epoch: String { disk.epoch }

  func observe(_ observer: @escaping @Sendable (_ tenant: DID, _ entries: [StoredMessage]) -> Void) {
    state.withLock { $0.observer = observer }
  }

  func write<Result: Sendable>(
    _ tenant: DID, _ body: @escaping @Sendable (any MessageTransaction) throws -> Result
  ) async throws -> Result {
    try checkOpen()
    return try turn.withLock { _ in
      let before = disk.content.withLock { $0.tenants[tenant] } ?? ModelMessages()
      let transaction = ModelTransaction(before)
      let result = try body(transaction)
      disk.content.withLock { $0.tenants[tenant] = transaction.messages }
      let names = transaction.messages.fileNames
      for row in transaction.messages.rows { if case .file(let file) = row.data { file.keep() } }
      for name in before.fileNames.subtracting(names) { dataFolder.remove(name) }
      let entries = transaction.messages.rows.filter { $0.message.position > before.lastPosition }.map(\.message)
      if !entries.isEmpty { state.withLock { $0.observer }?(tenant, entries) }
      return result
    }
  }

  func read<Result: Sendable>(
    _ tenant: DID, _ body: @escaping @Sendable (any MessageReader) throws -> Result
  ) async throws -> Result {
    try checkOpen()
    return try body(disk.content.withLock { $0.tenants[tenant] } ?? ModelMessages())
  }

  func summaries() async throws -> [TenantSummary] {
    try checkOpen()
    return disk.content.withLock { content in
      content.tenants.sorted { $0.key.text < $1.key.text }
        .map { TenantSummary(tenant: $0.key, usage: $0.value.usage(), head: $0.value.lastPosition) }
    }
  }

  func totals() async throws -> StoreTotals {
    try checkOpen()
    return disk.content.withLock { content in
      let used = content.tenants.values.filter { $0.lastPosition > 0 }
      return StoreTotals(tenants: used.count, bytes: used.reduce(0) { $0 + $1.usage().bytes })
    }
  }

  func registrations() async throws -> [TenantRegistration] {
    try checkOpen()
    return disk.content.withLock { $0.registrations.values.sorted { $0.tenant.text < $1.tenant.text } }
  }

  func register(_ registration: TenantRegistration) async throws {
    try checkOpen()
    disk.content.withLock { $0.registrations[registration.tenant] = registration }
  }

  func releaseMemory() {}

  func close() async { state.withLock { $0.isClosed = true } }

  private func checkOpen() throws {
    if state.withLock({ $0.isClosed }) { throw NodeError.databaseFailed(path: "the model", reason: "it was closed") }
  }
}

extension ModelMessages {
  fileprivate var fileNames: Set<String> {
    Set(rows.compactMap { if case .file(let file) = $0.data { file.name } else { nil } })
  }
}
