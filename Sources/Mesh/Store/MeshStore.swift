/// Where a device keeps what it signed and what it verified. The daemon, or a command that holds the lock, is its one writer.
public protocol MeshStore: Sendable {
  /// Everything that was committed.
  func load() async throws -> StoredMesh

  /// Keeps all of the change, durably, before it returns; or throws and keeps nothing of it. What is kept is what
  /// `StoredMesh.apply` says.
  func commit(_ change: StoreChange) async throws
}
