import Testing
import Wire

@testable import DERP

@Suite("what relays say is wrong")
struct HealthNewsTests {
  private let start = Instant(nanoseconds: 1_000_000_000_000)

  @Test("is told at once, and each text once")
  func once() {
    var news = HealthNews()
    #expect(news.heard(nil, at: start) == .nothing)
    #expect(news.heard("full", at: start) == .tell("full"))
    #expect(news.heard("full", at: start + .seconds(5)) == .nothing)
    #expect(news.heard(nil, at: start + .seconds(6)) == .tell(nil))
  }

  @Test("is told once a second at most, and the last of it always")
  func often() {
    var news = HealthNews()
    #expect(news.heard("1", at: start) == .tell("1"))
    #expect(news.heard("2", at: start + .milliseconds(400)) == .rest(.milliseconds(600)))
    for number in 3..<1000 { #expect(news.heard("\(number)", at: start + .milliseconds(400)) == .nothing) }
    #expect(news.text == "999")
    #expect(news.rested(at: start + .seconds(1)) == .tell("999"))
    #expect(news.heard(nil, at: start + .milliseconds(1500)) == .rest(.milliseconds(500)))
    #expect(news.rested(at: start + .seconds(2)) == .tell(nil))
  }

  @Test("is not told when it was taken back before its turn")
  func takenBack() {
    var news = HealthNews()
    #expect(news.heard("full", at: start) == .tell("full"))
    #expect(news.heard("fuller", at: start + .milliseconds(1)) == .rest(.milliseconds(999)))
    #expect(news.heard("full", at: start + .milliseconds(2)) == .nothing)
    #expect(news.rested(at: start + .seconds(1)) == .nothing)
    #expect(news.heard("empty", at: start + .seconds(1)) == .tell("empty"))
  }
}
