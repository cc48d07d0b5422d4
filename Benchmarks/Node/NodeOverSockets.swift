import DWN
import DWNClient
import Foundation
import Glibc
import Wire

/// What clients see of a node that runs by itself: the same work as in the node's own process, over HTTP and WebSocket on loopback,
/// where clients and node share the machine; and the memory of the node's process, in which nothing else is.
struct NodeOverSockets: Benchmark {
  let title = "writes, queries, events and memory of a node, over sockets"
  private static let slice = Duration.seconds(4)

  func figures(_ effort: Effort) async throws -> [Figure] {
    Self.raiseFileLimit()
    let (writes, queries) = try await NodeUnderTest.run { subject in
      (
        Figure("durable writes in the node's process, 64 clients", try await Self.writes(subject, 6_000), "1/s"),
        Figure("role-authorized queries/s in the node's process", try await NodeQueries.rate(of: subject), "1/s")
      )
    }
    let own = Figure(
      "events/s in the node's process, each write for 100 % of \(NodeEvents.subscribers)",
      try await NodeUnderTest.run { subject in
        try await NodeEvents.run(subject, groups: 1) { _ in subject.node }.events
      }, "1/s")
    return try await NodeUnderTest.overSockets { subject, served in
      try await Task.sleep(for: .seconds(2))
      let rest = Figure("memory at rest, the node's process", try served.memory("VmRSS"), "MiB")
      var figures = [
        Figure("durable writes over HTTP, 64 clients", try await Self.writes(subject, 6_000), versus: writes),
        Figure("role-authorized queries/s over HTTP", try await NodeQueries.rate(of: subject), versus: queries),
        Figure(
          "memory at most, 64 clients that write and 16 that ask, over HTTP", try served.memory("VmHWM"), versus: rest),
      ]
      for groups in [100, 10, 1] {
        let listeners = (0..<NodeEvents.subscribers).map { _ in HTTPEndpoint(served.url) }
        let rates = try await NodeEvents.run(subject, groups: groups) { listeners[$0] }
        figures.append(
          Figure(
            "events/s over WebSocket, each write for \(100 / groups) % of \(listeners.count)", rates.events, versus: own
          ))
        if groups == 1 {
          let memory = try served.memory("VmRSS")
          figures.append(Figure("memory with \(listeners.count) WebSockets that follow", memory, versus: rest))
        }
        for listener in listeners { await listener.shutdown() }
      }
      figures.append(
        Figure(
          "memory at most, \(NodeEvents.subscribers) WebSockets told of everything", try served.memory("VmHWM"),
          versus: rest))
      return figures + [writes, queries, own, rest]
    }
  }

  private static func writes(_ subject: NodeUnderTest, _ count: Int) async throws -> Double {
    let writes = try await Prepared.writes(count, for: subject)
    return try await Clients.rate(64, for: slice) { number in
      guard number < writes.count else { return false }
      try await subject.take(writes[number].0, data: writes[number].1, from: number)
      return true
    }
  }

  /// For a thousand connections of this side.
  private static func raiseFileLimit() {
    let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
    var limit = rlimit()
    guard getrlimit(resource, &limit) == 0, limit.rlim_cur < 16_384 else { return }
    limit.rlim_cur = min(limit.rlim_max, 16_384)
    setrlimit(resource, &limit)
  }
}
