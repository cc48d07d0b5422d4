import Mesh

/// Commits changes to a store one after the other, in the order in which they are given, however many callers there are.
actor CommitQueue {
  private let store: any MeshStore
  private var last: Task<Void, any Error>?
  /// What an earlier failure left unsaved; it goes in with the next change.
  private var unsaved = StoreChange()

  init(_ store: any MeshStore) {
    self.store = store
  }

  /// Returns when the change is durable. When it cannot be made so now, it throws, and the change is forgotten.
  func commit(_ change: StoreChange) async throws {
    guard !change.isEmpty else { return }
    try await enqueue(change).value
  }

  /// As `commit`, for what was verified and is in force anyway: if it cannot be saved now it is kept, and saved with what comes.
  func commitOrKeep(_ change: StoreChange) async throws {
    unsaved.merge(change)
    guard !unsaved.isEmpty else { return }
    let all = unsaved
    unsaved = StoreChange()
    do {
      try await enqueue(all).value
    } catch {
      var kept = all
      kept.merge(unsaved)
      unsaved = kept
      throw error
    }
  }

  private func enqueue(_ change: StoreChange) -> Task<Void, any Error> {
    let task = Task { [store, last] in
      _ = await last?.result
      try await store.commit(change)
    }
    last = task
    return task
  }
}
