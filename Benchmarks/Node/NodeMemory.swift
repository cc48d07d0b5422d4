import Glibc
import Wire

/// How much memory a process with a node has: at rest, and at its most while 64 clients write. What the clients hold is part of
/// it. First in the list, since what other benchmarks used does not come back.
struct NodeMemory: Benchmark {
  let title = "memory of a node"

  func figures(_ effort: Effort) async throws -> [Figure] {
    try await NodeUnderTest.run { try await figures($0) }
  }

  private func figures(_ subject: NodeUnderTest) async throws -> [Figure] {
    try await Task.sleep(for: .milliseconds(500))
    let rest = try Self.status("VmRSS")
    let writes = try await Prepared.writes(4_000, for: subject)
    let before = try Self.status("VmRSS")
    _ = try await Clients.rate(64, for: .seconds(20)) { number in
      guard number < writes.count else { return false }
      try await subject.take(writes[number].0, data: writes[number].1)
      return true
    }
    let peak = try Self.status("VmHWM")
    let resting = Figure("memory at rest", rest, "MiB")
    return [
      resting, Figure("memory at most, 64 clients that write", rest + max(0, peak - before), versus: resting),
    ]
  }

  private static func status(_ name: String) throws -> Double { try ProcessMemory.status(name, of: getpid()) }
}
