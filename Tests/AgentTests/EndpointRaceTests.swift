import Testing

@testable import Agent

@Suite("Endpoints that are asked one beside the other", .timeLimit(.minutes(10)))
struct EndpointRaceTests {
  @Test("an endpoint that never answers holds up nobody: the next that knows decides")
  func silentFirst() async throws {
    let answer = try await EndpointRace.first(of: [0, 1, 2]) { endpoint throws(AgentError) in
      if endpoint == 0 { await Self.never() }
      return endpoint
    }
    #expect(answer == 1)
  }

  @Test("one that fails gives way at once, and when all fail the last one's reason is given")
  func failures() async throws {
    let answer = try await EndpointRace.first(of: [0, 1]) { endpoint throws(AgentError) in
      guard endpoint > 0 else { throw .failed("zero") }
      return endpoint
    }
    #expect(answer == 1)
    await #expect(throws: AgentError.failed("two")) {
      _ = try await EndpointRace.first(of: ["one", "two"]) { endpoint throws(AgentError) -> Int in
        throw .failed(endpoint)
      }
    }
    await #expect(throws: AgentError.failed("no endpoint was given")) {
      _ = try await EndpointRace.first(of: [Int]()) { endpoint throws(AgentError) in endpoint }
    }
  }

  @Test("of those asked all at once, the ones that hang or fail are left out")
  func promptOnes() async {
    let answers = await EndpointRace.prompt(of: [0, 1, 2, 3]) { endpoint in
      if endpoint == 0 { await Self.never() }
      return endpoint == 2 ? nil : endpoint
    }
    #expect(answers.sorted() == [1, 3])
    #expect(await EndpointRace.prompt(of: [0, 2]) { _ in nil as Int? }.isEmpty)
  }

  /// As long as nobody gives up the wait.
  private static func never() async { try? await Task.sleep(for: .seconds(3600)) }
}
