import Wire

/// A bound in time for what others may draw out.
enum TimeBound {
  struct Exceeded: Error {}

  /// What the work gives, or `Exceeded` when it takes longer; it is cancelled then.
  static func within<Value: Sendable>(
    _ time: Duration, _ work: @escaping @Sendable () async throws -> Value
  ) async throws -> Value {
    try await withThrowingTaskGroup(of: Value.self) { group in
      group.addTask { try await work() }
      group.addTask {
        try await Task.sleep(for: time)
        throw Exceeded()
      }
      defer { group.cancelAll() }
      guard let value = try await group.next() else { throw Exceeded() }
      return value
    }
  }
}
