import DWN
import DWNNode
import Foundation
import Identity
import Wire

/// Writes that a thousand subscribers listen for, of whom one in a hundred, one in ten, or every one is concerned.
struct NodeEvents: Benchmark {
  static let subscribers = 1_000

  let title = "events of a node to \(subscribers) subscribers"
  private static let slice = Duration.seconds(4)
  /// Events of one run at most: how many writes there are follows from how many each concerns.
  private static let mostEvents = 100_000

  func figures(_ effort: Effort) async throws -> [Figure] {
    let alone = Figure("writes/s that nobody listens for", try await run(groups: nil).writes, "1/s")
    var figures: [Figure] = []
    for groups in [100, 10, 1] {
      let rates = try await run(groups: groups)
      let share = "\(100 / groups) % of \(Self.subscribers)"
      figures.append(Figure("writes/s that each concern \(share)", rates.writes, versus: alone))
      figures.append(Figure("events/s, each write for \(share)", rates.events, versus: alone))
    }
    return figures + [alone]
  }

  /// `groups`: a write concerns one of so many equal groups of subscribers. `nil`: there are none.
  private func run(groups: Int?) async throws -> (writes: Double, events: Double) {
    try await NodeUnderTest.run { subject in try await Self.run(subject, groups: groups) { _ in subject.node } }
  }

  /// `node`: what each subscriber speaks with.
  static func run(
    _ subject: NodeUnderTest, groups: Int?, node: (_ subscriber: Int) -> any DWNEndpoint
  ) async throws -> (writes: Double, events: Double) {
    let recipients = (0..<(groups ?? 1)).map { _ in MachineIdentity.generate(random: SystemRandom()).did }
    let received = Counter()
    var listeners: [Task<Void, any Error>] = []
    for number in 0..<(groups == nil ? 0 : subscribers) {
      let filter = RecordsFilter(
        protocolURI: NodeUnderTest.protocolURI, path: "network/machine", contextID: subject.network.contextID,
        recipient: [recipients[number % recipients.count]])
      let subscribe = subject.tenant.recordsSubscribe(filter, at: subject.time())
      let (reply, frames) = try await node(number).subscribe(tenant: subject.tenant.did, message: subscribe.json)
      guard let frames else { throw BenchmarkFailure(reason: "\(reply.status)") }
      listeners.append(
        Task {
          while let frame = try await frames.next() {
            guard case .event(let event) = frame else { continue }
            frames.acknowledge(event.cursor)
            received.take()
          }
        })
    }
    let listening = groups.map { subscribers / $0 } ?? 1
    let writes = try await Prepared.writes(min(10_000, mostEvents / listening), for: subject) {
      recipients[$0 % recipients.count]
    }
    let start = Instant.now()
    let taken = Counter()
    let rate = try await Clients.rate(64, for: slice) { number in
      guard number < writes.count else { return false }
      try await subject.take(writes[number].0, data: writes[number].1, from: number)
      taken.take()
      return true
    }
    // The last of them are still on their way to those who listen.
    let expected = groups == nil ? 0 : taken.value * listening
    let patience = Instant.now() + .seconds(60)
    while received.value < expected, Instant.now() < patience { try await Task.sleep(for: .milliseconds(2)) }
    guard received.value == expected else {
      throw BenchmarkFailure(reason: "\(received.value) of \(expected) events came")
    }
    let time = Instant.now() - start
    for listener in listeners { listener.cancel() }
    return (rate, Double(expected) / time.seconds)
  }
}
