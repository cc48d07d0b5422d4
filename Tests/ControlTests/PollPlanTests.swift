import Testing
import Wire

@testable import Control

@Suite("When an endpoint is asked")
struct PollPlanTests {
  private func at(_ seconds: Double) -> Instant { Instant(nanoseconds: 0) + .milliseconds(Int64(seconds * 1000)) }

  @Test("the first fetch is due at once and asks for everything")
  func first() {
    let plan = PollPlan(startedAt: at(5))
    #expect(plan.deadline == at(5))
    #expect(plan.extent(at: at(5)) == .complete)
  }

  @Test("polls come every 2 s in the first minute and every 10 s later")
  func intervals() {
    var plan = PollPlan(startedAt: at(0))
    plan.finished(.complete, .settled, at: at(0))
    #expect(plan.deadline == at(2))
    #expect(plan.extent(at: at(2)) == .recent)
    plan.finished(.recent, .settled, at: at(59))
    #expect(plan.deadline == at(61))
    plan.finished(.recent, .settled, at: at(61))
    #expect(plan.deadline == at(71))
  }

  @Test("a change brings the quick interval back for a minute")
  func change() {
    var plan = PollPlan(startedAt: at(0))
    plan.finished(.complete, .settled, at: at(100))
    #expect(plan.deadline == at(110))
    plan.changed(at: at(101))
    #expect(plan.deadline == at(103))
    plan.finished(.recent, .settled, at: at(160))
    #expect(plan.deadline == at(162))
    plan.finished(.recent, .settled, at: at(162))
    #expect(plan.deadline == at(172))
  }

  @Test("jitter moves the usual interval by a tenth at most")
  func jitter() {
    var plan = PollPlan(startedAt: at(0))
    plan.finished(.complete, .settled, at: at(100), jitter: 0)
    #expect(plan.deadline == at(109))
    plan.finished(.complete, .settled, at: at(100), jitter: 1)
    #expect(plan.deadline == at(111))
  }

  @Test("everything is asked for at least every five minutes")
  func complete() {
    var plan = PollPlan(startedAt: at(0))
    plan.finished(.complete, .settled, at: at(0))
    var time = plan.deadline
    var last = at(0)
    while time < at(1000) {
      let extent = plan.extent(at: time)
      if extent == .complete {
        #expect(time - last <= .seconds(300))
        last = time
      }
      plan.finished(extent, .settled, at: time)
      time = plan.deadline
    }
    #expect(last > at(600))
  }

  @Test("a mismatch is fetched again after 0.2 s, doubling to 10 s")
  func mismatch() {
    var plan = PollPlan(startedAt: at(0))
    var time = at(0)
    var waits: [Duration] = []
    for _ in 0..<8 {
      plan.finished(.complete, .mismatch, at: time)
      #expect(plan.extent(at: plan.deadline) == .complete)
      waits.append(plan.deadline - time)
      time = plan.deadline
    }
    #expect(waits == [200, 400, 800, 1600, 3200, 6400, 10000, 10000].map { .milliseconds($0) })
    plan.finished(.complete, .settled, at: time)
    plan.finished(.complete, .mismatch, at: time)
    #expect(plan.deadline - time == .milliseconds(200))
  }

  @Test("a failure is tried again at the usual interval, not before the node allows it")
  func failure() {
    var plan = PollPlan(startedAt: at(0))
    plan.finished(.complete, .failed(retryAfter: .zero), at: at(0))
    #expect(plan.deadline == at(2))
    #expect(plan.extent(at: at(2)) == .complete)
    plan.finished(.complete, .failed(retryAfter: .seconds(30)), at: at(2))
    #expect(plan.deadline == at(32))
  }

  @Test("a node that shows no mesh is asked on at the usual interval")
  func nothing() {
    var plan = PollPlan(startedAt: at(0))
    plan.finished(.complete, .nothing, at: at(0))
    #expect(plan.deadline == at(2))
    plan.finished(.complete, .nothing, at: at(70))
    #expect(plan.deadline == at(80))
  }

  @Test("a hint is followed at once")
  func hint() {
    var plan = PollPlan(startedAt: at(0))
    plan.finished(.complete, .settled, at: at(100))
    plan.hinted(.recent, at: at(101))
    #expect(plan.deadline == at(101))
    #expect(plan.extent(at: at(101)) == .recent)
    plan.hinted(.complete, at: at(101))
    #expect(plan.extent(at: at(101)) == .complete)
  }

  @Test("an endpoint on standby is asked what is recent every minute, all every five, and at once when it is needed")
  func standby() {
    var plan = PollPlan(startedAt: at(0), isStandby: true)
    plan.finished(.complete, .settled, at: at(0))
    #expect(plan.deadline == at(60))
    #expect(plan.extent(at: at(60)) == .recent)
    plan.changed(at: at(10))
    #expect(plan.deadline == at(60))
    for minute in 1...4 { plan.finished(.recent, .settled, at: at(Double(minute) * 60)) }
    #expect(plan.deadline == at(300))
    #expect(plan.extent(at: at(300)) == .complete)
    plan.promote(at: at(300))
    #expect(plan.deadline == at(300))
    #expect(plan.extent(at: at(300)) == .complete)
    plan.finished(.complete, .settled, at: at(300))
    #expect(plan.deadline < at(300) + PollPlan.standbyLook)
    plan.demote(at: at(301))
    #expect(plan.deadline == at(361))
    #expect(plan.extent(at: at(361)) == .recent)
    #expect(plan.extent(at: at(601)) == .complete)
  }

  @Test("one that does not answer is asked once a minute beside another that does: what is said of it is to be of now")
  func silentStandby() {
    var plan = PollPlan(startedAt: at(0))
    plan.finished(.complete, .failed(retryAfter: .zero), at: at(0))
    plan.demote(at: at(1))
    #expect(plan.deadline == at(61))
    plan.finished(.complete, .failed(retryAfter: .zero), at: at(61))
    #expect(plan.deadline == at(121))
    plan.finished(.complete, .settled, at: at(121))
    #expect(plan.deadline == at(181))
    #expect(plan.extent(at: at(181)) == .recent)
  }

  @Test(
    "what is asked for while a fetch is under way is asked for again when that is over: it may have begun too early to show it",
    arguments: [PollPlan.Outcome.settled, .outdated, .nothing])
  func overlooked(outcome: PollPlan.Outcome) {
    var plan = PollPlan(startedAt: at(0))
    plan.began()
    plan.followed(at: at(1))
    plan.hinted(.complete, at: at(1))
    plan.hinted(.recent, at: at(1))
    plan.finished(.complete, outcome, at: at(2))
    #expect(plan.deadline == at(2))
    #expect(plan.extent(at: at(2)) == .complete)
    plan.began()
    plan.finished(.complete, .settled, at: at(3))
    #expect(plan.deadline == at(63))
  }

  @Test("an endpoint that fails is left alone as long as it wants, whatever was asked for meanwhile")
  func overlookedAndFailed() {
    var plan = PollPlan(startedAt: at(0))
    plan.began()
    plan.hinted(.complete, at: at(1))
    plan.finished(.recent, .failed(retryAfter: .seconds(30)), at: at(2))
    #expect(plan.deadline == at(32))
    #expect(plan.extent(at: at(32)) == .complete)
  }

  @Test("recent updates are counted from ten minutes before the lesser of newest stamp and own clock")
  func recently() {
    let now = WallTime(seconds: 1_000_000)
    #expect(WallTime.recentlyUpdated(newestSeen: nil, now: now) == WallTime(seconds: 999_400))
    #expect(WallTime.recentlyUpdated(newestSeen: WallTime(seconds: 2_000_000), now: now) == WallTime(seconds: 999_400))
    #expect(WallTime.recentlyUpdated(newestSeen: WallTime(seconds: 999_000), now: now) == WallTime(seconds: 998_400))
  }
}

@Suite("Which of several endpoints is polled")
struct EndpointChoiceTests {
  @Test("the first, as long as it answers")
  func first() {
    var choice = EndpointChoice(count: 3)
    choice.succeeded(0)
    choice.failed(2)
    #expect(choice.preferred == 0)
  }

  @Test("the next when it fails, and the first again once it answers")
  func next() {
    var choice = EndpointChoice(count: 3)
    choice.failed(0)
    #expect(choice.preferred == 1)
    choice.succeeded(1)
    #expect(choice.preferred == 1)
    choice.succeeded(0)
    #expect(choice.preferred == 0)
  }

  @Test("when all have failed it begins with the first again")
  func all() {
    var choice = EndpointChoice(count: 2)
    choice.failed(0)
    #expect(!choice.hasStartedOver)
    choice.failed(1)
    #expect(choice.preferred == 0)
    #expect(choice.hasStartedOver)
    choice.failed(0)
    #expect(choice.preferred == 1)
    #expect(!choice.hasStartedOver)
  }

  @Test("one that takes the place of a retired one begins without its failures")
  func replaced() {
    var choice = EndpointChoice(count: 2)
    choice.failed(1)
    choice.retire(1, true)
    choice.failed(0)
    #expect(choice.hasStartedOver && choice.preferred == 0)
    choice.failed(1)
    choice.replace(1)
    choice.failed(0)
    #expect(choice.preferred == 1)
  }

  @Test("one that is left gives way to any other that answers, the reserve too, and is asked again when none does")
  func leaving() {
    var choice = EndpointChoice(count: 2)
    choice.reserve = 1
    choice.add()
    choice.leave()
    #expect(!choice.isIdle(0) && !choice.isIdle(1) && !choice.isIdle(2))
    choice.failed(2)
    #expect(choice.preferred == 0)
    choice.succeeded(1)
    #expect(choice.preferred == 1 && choice.isIdle(0))
    choice.succeeded(2)
    #expect(choice.preferred == 2 && choice.isIdle(0) && choice.isIdle(1))
    choice.failed(2)
    #expect(choice.preferred == 1)
    choice.failed(1)
    #expect(choice.preferred == 0 && !choice.isIdle(0))
    choice.succeeded(0)
    choice.succeeded(2)
    #expect(choice.preferred == 2)
    choice.stay()
    choice.succeeded(0)
    #expect(choice.preferred == 0)
  }

  @Test("a reserve is chosen when all others have failed, is idle otherwise, and is left for any other that answers")
  func reserve() {
    var choice = EndpointChoice(count: 2)
    choice.reserve = 1
    choice.add()
    #expect(choice.isIdle(1) && !choice.isIdle(2))
    choice.failed(0)
    #expect(choice.preferred == 2)
    choice.failed(2)
    #expect(choice.preferred == 1 && !choice.isIdle(1))
    choice.succeeded(1)
    #expect(choice.preferred == 1)
    choice.succeeded(2)
    #expect(choice.preferred == 2 && choice.isIdle(1))
    choice.succeeded(0)
    #expect(choice.preferred == 0)
  }
}
