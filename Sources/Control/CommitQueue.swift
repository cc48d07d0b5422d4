import Mesh

/// Commits changes to a store one after the other, in the order in which they are given, however many callers there are.
actor CommitQueue {
  private let store: any MeshStore
  private var last: Task<Void, any Error>?
  /// What an earlier failure left unsaved; it goes in with the next change of its kind. Only one body at a time changes it.
  private var unsaved = StoreChange()

  init(_ store: any MeshStore) {
    self.store = store
  }

  /// Returns when the change is durable. When it cannot be made so now, it throws, and the change is forgotten.
  func commit(_ change: StoreChange) async throws {
    guard !change.isEmpty else { return }
    try await enqueue(change).value
  }

  /// As `commit`, for what was verified and is in force anyway: if it cannot be saved now it is kept, and saved with what comes, before
  /// that.
  func commitOrKeep(_ change: StoreChange) async throws {
    guard !change.isEmpty || !unsaved.isEmpty else { return }
    try await enqueue(change, keepsIt: true).value
  }

  private func enqueue(_ change: StoreChange, keepsIt: Bool = false) -> Task<Void, any Error> {
    let task = Task { [last] in
      _ = await last?.result
      if keepsIt { try await saveOrKeep(change) } else { try await store.commit(change) }
    }
    last = task
    return task
  }

  /// One after the other, so that what failed before is known.
  private func saveOrKeep(_ change: StoreChange) async throws {
    unsaved.merge(change)
    guard !unsaved.isEmpty else { return }
    try await store.commit(unsaved)
    unsaved = StoreChange()
  }
}
