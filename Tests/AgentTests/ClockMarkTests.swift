import Testing
import Wire

@testable import Agent

@Suite("The time that peers have seen")
struct ClockMarkTests {
  private let now = WallTime(seconds: 1_800_000_000)

  @Test("a clock that was ahead and is put right does not go back for peers, however often the daemon starts")
  func ahead() {
    #expect(ClockMark(noted: nil, now: now).latest == now)
    #expect(ClockMark(noted: now + .seconds(-5), now: now).latest == now)
    var seen = now + .seconds(3600)
    for _ in 0..<5 {
      // Until it was killed it may have used what it had not noted yet.
      let mark = ClockMark(noted: seen, now: now)
      #expect(mark.latest > seen + ClockMark.interval)
      seen = mark.latest
    }
  }

  @Test("it is noted when it goes on")
  func noted() {
    var mark = ClockMark(noted: now + .seconds(10), now: now)
    let floor = mark.latest
    let isNewBefore = mark.note(now + .seconds(1))
    #expect(!isNewBefore && mark.latest == floor)
    let isNew = mark.note(floor + .seconds(1))
    #expect(isNew && mark.latest == floor + .seconds(1))
  }
}
