import DWN
import Foundation
import Identity
import TestSupport
import Testing
import Wire

@testable import DWNNode

/// Random writes to a store and to the model, and after each of them random questions to both.
///
/// The messages are such as no node would store in places (two that stand for one record, times out of order): what a store
/// answers must not depend on the rules of those who use it.
@Suite(.timeLimit(.minutes(Soak.minutes(short: 10))))
struct StoreModelSoakTests {
  @Test("a store answers what the model answers")
  func agree() async throws {
    for _ in Soak.rounds(short: 3) { try await agree(seed: .random(in: .min ... .max)) }
  }

  private func agree(seed: UInt64) async throws {
    var samples = RandomMessages(SeededRandom(seed))
    let homes = (try StoreHome(.sqlite), try StoreHome(.model))
    defer {
      homes.0.remove()
      homes.1.remove()
    }
    var stores = (try homes.0.open(), try homes.1.open())
    for step in 0..<60 {
      let label: Comment = "seed \(seed), step \(step)"
      let tenant = samples.person()
      let changes = samples.changes()
      let fails = samples.random.uniform(below: 8) == 0
      let made = (
        await outcome(stores.0, tenant, changes, fails: fails), await outcome(stores.1, tenant, changes, fails: fails)
      )
      #expect(made.0 == made.1, label)
      for _ in 0..<12 {
        let question = samples.question()
        let answers = (
          try await stores.0.read(tenant) { try question.answer($0) },
          try await stores.1.read(tenant) { try question.answer($0) }
        )
        #expect(answers.0 == answers.1, "\(label): \(question.name)")
      }
      if samples.random.uniform(below: 30) == 0 {
        await stores.0.close()
        await stores.1.close()
        stores = (try homes.0.open(), try homes.1.open())
      }
    }
    await stores.0.close()
    await stores.1.close()
  }

  private struct Refusal: Error {}

  private func outcome(
    _ store: any MessageStore, _ tenant: DID, _ changes: [RandomMessages.Change], fails: Bool
  ) async -> [String] {
    do {
      return try await store.write(tenant) { transaction in
        let said = try changes.map { try $0.apply(to: transaction) }
        if fails { throw Refusal() }
        return said
      }
    } catch {
      return ["\(type(of: error))"]
    }
  }
}
