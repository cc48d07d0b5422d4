import Testing
import Wire

@testable import DWNClient

@Suite("What is sent again")
struct ResendingTests {
  private func pauses(_ failures: [Resending.Failure], timeout: Duration = .seconds(30)) -> [Duration?] {
    var resending = Resending(timeout: timeout)
    var elapsed = Duration.zero
    return failures.map { failure in
      let pause = resending.pause(after: failure, elapsed: elapsed, jitter: 0.5)
      elapsed += pause ?? .zero
      return pause
    }
  }

  @Test("a dead connection is replaced at once; one that is lost again and again is left after four attempts")
  func connectionLost() {
    #expect(
      pauses(Array(repeating: .connectionLost, count: 4)) == [.zero, .milliseconds(200), .milliseconds(400), nil])
  }

  @Test("a busy gateway is asked again with pauses that double")
  func gateway() {
    #expect(
      pauses(Array(repeating: .gateway, count: 4))
        == [.milliseconds(200), .milliseconds(400), .milliseconds(800), nil])
  }

  @Test("a short rate limit is waited for; a long one, and one without end, are the caller's to know")
  func rateLimits() {
    let pause = pauses([.rateLimited(.seconds(1))])[0]
    #expect(pause.map { $0 >= .seconds(1) && $0 <= .milliseconds(1200) } == true)
    #expect(pauses([.rateLimited(.seconds(3))]) == [nil])
    #expect(pauses(Array(repeating: .rateLimited(.seconds(1)), count: 4)).last == .some(nil))
  }

  @Test("what a caller with other endpoints decides better is not sent again")
  func other() {
    #expect(pauses([.other]) == [nil])
  }

  @Test("nothing is sent again when the time is over")
  func timeout() {
    #expect(pauses([.gateway, .gateway], timeout: .milliseconds(500)) == [.milliseconds(200), nil])
  }
}
