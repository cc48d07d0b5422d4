import Foundation
import Testing

extension MeshdLab {
  /// Machines that move, sleep, and lose what lies between them, while they work.
  @Suite(.enabled(if: NATLab.obstacle == nil, "\(NATLab.obstacle ?? "")"), .timeLimit(.minutes(60)))
  struct RoamingTests {
    /// What came of one try.
    private struct Outcome: Sendable {
      /// From the end of the change to the first answer to a packet that was sent after it.
      var seconds: Double?
      /// Whether all of the transfer arrived.
      var survived: Bool
    }

    @Test("a running transfer survives, and packets flow again, when", arguments: NATLab.changes)
    func change(_ change: NetworkChange) async throws {
      let labs = min(NATLab.tries, change.together)
      let outcomes = try await NATLab.each(of: Array(0..<labs), together: labs) { first in
        try await Self.tries(of: change, rounds: Array(stride(from: first, to: NATLab.tries, by: labs)))
      }.flatMap { $0 }

      let times = outcomes.map { $0.seconds ?? .infinity }.sorted()
      let quick = times.filter { $0 <= 2 }.count
      let list = times.map { String(format: "%.2f", $0) }.joined(separator: " ")
      print("\(change.rawValue): \(quick) of \(times.count) within 2 s, seconds: \(list)")
      #expect(outcomes.allSatisfy { $0.survived }, "a transfer did not survive")
      #expect(outcomes.allSatisfy { $0.seconds != nil }, "packets did not flow again")
      // A few tries tell nothing about a share of them.
      if times.count >= 20 { #expect(quick * 100 >= times.count * 95, "packets flow again too late") }
    }

    private static func tries(of change: NetworkChange, rounds: [Int]) async throws -> [Outcome] {
      try await PairLab.run(change.pair, withMemberRelay: change == .relay) { lab in
        let traffic = try await MeshTraffic.start(
          from: lab.left.namespace, to: lab.right.namespace, at: lab.rightAddress)
        defer { traffic.stop() }
        if change == .relay { try await lab.awaitRelays(2) }
        var outcomes: [Outcome] = []
        for round in rounds {
          let isSettled = try await eventually(.seconds(60)) {
            try await lab.paths().allSatisfy { $0 == change.path }
          }
          guard isSettled else {
            throw Missing(what: "a \(change.path) path", in: "\(try await lab.paths()) before round \(round)")
          }
          outcomes.append(try await once(change, round, lab, traffic))
          try await change.mend(lab)
        }
        return outcomes
      }
    }

    private static func once(
      _ change: NetworkChange, _ round: Int, _ lab: PairLab, _ traffic: MeshTraffic
    ) async throws -> Outcome {
      var seconds: Double?
      let survived = try await RunningTransfer.survives(
        from: lab.left.namespace, to: lab.right.namespace, at: lab.rightAddressV6
      ) {
        // The transfer is under way before, and goes on for a while after.
        try await Task.sleep(for: .milliseconds(500))
        let moment = try await change.happen(in: lab, round: round)
        _ = try await eventually(.seconds(60), every: .milliseconds(20)) {
          traffic.answer(toPacketAfter: moment) != nil
        }
        seconds = traffic.answer(toPacketAfter: moment).map { moment.duration(to: $0) / .seconds(1) }
        try await Task.sleep(for: .milliseconds(500))
      }
      return Outcome(seconds: seconds, survived: survived)
    }
  }
}
