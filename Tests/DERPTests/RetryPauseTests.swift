import TestSupport
import Testing
import Wire

@testable import DERP

@Suite("how long a client waits before it tries a relay again")
struct RetryPauseTests {
  private let start = Instant(nanoseconds: 1_000_000_000)
  private let random = SeededRandom(17)

  @Test("twice as long each time, up to five seconds, and after ten minutes to a minute; never all of it for everybody")
  func doubles() {
    var pause = RetryPause()
    func expect(_ dues: [Int64], at now: Instant) {
      for due in dues {
        let wait = pause.next(at: now, random: random)
        #expect(wait >= .milliseconds(due) / 2 && wait <= .milliseconds(due))
      }
    }
    expect([100, 200, 400, 800, 1600, 3200, 5000, 5000], at: start)
    expect([5000, 5000], at: start + .seconds(599))
    expect([5000, 10000, 20000, 40000, 60000, 60000], at: start + .seconds(600))
    pause.reset()
    expect([100, 200, 400, 800, 1600, 3200, 5000], at: start + .seconds(9000))
    var others = Set<Duration>()
    for seed in 0..<50 as Range<UInt64> {
      var other = RetryPause()
      others.insert(other.next(at: start, random: SeededRandom(seed)))
    }
    #expect(others.count > 40, "they do not come back all at once")
  }

  @Test("a connection that stood for a while begins anew, and one that was closed at once does not")
  func connections() {
    var pause = RetryPause()
    var now = start
    for _ in 0..<10 {
      pause.connected(at: now)
      now = now + .seconds(1)
      now = now + pause.next(at: now, random: random)
    }
    #expect(pause.next(at: now, random: random) >= .seconds(30), "closed ten times after a second each")
    pause.connected(at: now)
    #expect(pause.next(at: now + .seconds(2), random: random) <= .milliseconds(100))
    // A try that leads nowhere in between does not lend it the time.
    pause.connected(at: now + .seconds(6))
    _ = pause.next(at: now + .seconds(7), random: random)
    #expect(pause.next(at: now + .seconds(100), random: random) >= .milliseconds(200))
  }

  @Test("a relay that restarts says how long, once, and another network begins anew")
  func asked() {
    var pause = RetryPause()
    pause.connected(at: start)
    pause.extend(to: .seconds(30))
    #expect(pause.next(at: start + .seconds(60), random: random) >= .seconds(15))
    #expect(pause.next(at: start + .seconds(90), random: random) <= .milliseconds(200))
    for _ in 0..<10 { _ = pause.next(at: start, random: random) }
    pause.reset()
    #expect(pause.next(at: start, random: random) <= .milliseconds(100))
  }
}
