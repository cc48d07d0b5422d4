/// Endpoints that are asked one beside the other while a person waits: an address that leads nowhere costs no more than a moment.
///
/// Which of a machine's addresses work from here is found out by trying, as RFC 8305 does. One of them takes seconds to fail where
/// IPv6 is configured and leads nowhere.
enum EndpointRace {
  /// How long an endpoint is waited for before the next is asked as well (RFC 8305, section 8: 250 ms).
  private static let headStart = Duration.milliseconds(250)
  /// How long the others get once one has answered.
  private static let patience = Duration.seconds(1)

  /// What the first endpoint answers that does not fail. When all do: how the last of them failed.
  static func first<Endpoint: Sendable, Answer: Sendable>(
    of endpoints: [Endpoint], _ ask: @escaping @Sendable (Endpoint) async throws(AgentError) -> Answer
  ) async throws(AgentError) -> Answer {
    let outcome = await withTaskGroup(of: (index: Int, answer: Result<Answer, AgentError>)?.self) { group in
      var waiting = endpoints.enumerated().makeIterator()
      func askNext() {
        guard let (index, endpoint) = waiting.next() else { return }
        group.addTask {
          do throws(AgentError) {
            return (index, .success(try await ask(endpoint)))
          } catch {
            return (index, .failure(error))
          }
        }
        group.addTask {
          try? await Task.sleep(for: headStart)
          return nil
        }
      }
      askNext()
      var failures: [Int: AgentError] = [:]
      while failures.count < endpoints.count, let event = await group.next() {
        switch event {
        case .some((_, .success(let answer))):
          group.cancelAll()
          return Result<Answer, AgentError>.success(answer)
        case .some((let index, .failure(let error))):
          failures[index] = error
          askNext()
        case .none:
          askNext()
        }
      }
      group.cancelAll()
      return .failure(failures.max { $0.key < $1.key }?.value ?? .failed("no endpoint was given"))
    }
    return try outcome.get()
  }

  /// What the endpoints answer that do so about as promptly as the first, in no order; `nil` is no answer.
  static func prompt<Endpoint: Sendable, Answer: Sendable>(
    of endpoints: [Endpoint], _ ask: @escaping @Sendable (Endpoint) async -> Answer?
  ) async -> [Answer] {
    await withTaskGroup(of: Event<Answer>.self) { group in
      for endpoint in endpoints { group.addTask { .answer(await ask(endpoint)) } }
      var answers: [Answer] = []
      var asked = endpoints.count
      while asked > 0, let event = await group.next() {
        guard case .answer(let answer) = event else { break }
        asked -= 1
        guard let answer else { continue }
        if answers.isEmpty {
          group.addTask {
            try? await Task.sleep(for: patience)
            return .late
          }
        }
        answers.append(answer)
      }
      group.cancelAll()
      return answers
    }
  }

  private enum Event<Answer: Sendable>: Sendable {
    case answer(Answer?)
    case late
  }
}
