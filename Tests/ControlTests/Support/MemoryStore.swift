import Mesh

/// A store that forgets nothing as long as the test runs, and fails when it is told to.
actor MemoryStore: MeshStore {
  private var stored: StoredMesh
  private var fails = false

  struct Full: Error, CustomStringConvertible { let description = "no space left on device" }

  init(_ stored: StoredMesh = StoredMesh()) {
    self.stored = stored
  }

  func load() -> StoredMesh { stored }

  func commit(_ change: StoreChange) throws {
    if fails { throw Full() }
    stored.apply(change)
  }

  func setFull(_ full: Bool) { fails = full }
}
