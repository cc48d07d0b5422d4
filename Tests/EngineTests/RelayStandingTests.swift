import Testing
import Wire

@testable import Engine

@Suite("relays to wait at")
struct RelayStandingTests {
  private let start = Instant(nanoseconds: 1_000_000_000_000)

  @Test("a relay is named once connected, and for ten seconds after it was lost")
  func named() {
    var standing = RelayStanding()
    #expect(!standing.holds(1))
    standing.connected(1)
    #expect(standing.holds(1) && standing.nextDeadline == nil)
    standing.lost(1, "it closed", at: start)
    #expect(standing.holds(1) && standing.connected.isEmpty)
    #expect(standing.nextDeadline == start + .seconds(10))
    standing.advance(at: start + .seconds(9))
    #expect(standing.holds(1))
    standing.advance(at: start + .seconds(10))
    #expect(!standing.holds(1) && standing.nextDeadline == nil)
  }

  @Test("a relay that was tried in vain for ten seconds is passed over for five minutes, and then for longer")
  func passedOver() {
    var standing = RelayStanding()
    for second in 0..<10 {
      standing.failed(1, "nobody answers", at: start + .seconds(second))
      #expect(!standing.isPassedOver(1, at: start + .seconds(second)))
    }
    standing.failed(1, "nobody answers", at: start + .seconds(10))
    #expect(standing.isPassedOver(1, at: start + .seconds(10)))
    #expect(standing.isPassedOver(1, at: start + .seconds(309)))
    #expect(!standing.isPassedOver(1, at: start + .seconds(310)))
    standing.failed(1, "nobody answers", at: start + .seconds(320))
    #expect(!standing.isPassedOver(1, at: start + .seconds(320)), "it gets its ten seconds again")
    standing.failed(1, "nobody answers", at: start + .seconds(330))
    #expect(standing.isPassedOver(1, at: start + .seconds(330)))
    #expect(standing.isPassedOver(1, at: start + .seconds(330 + 599)))
    #expect(!standing.isPassedOver(1, at: start + .seconds(330 + 600)))
  }

  @Test("one try in vain is no reason, whenever it was, and a connection makes up for all")
  func oneFailure() {
    var standing = RelayStanding()
    standing.failed(1, "nobody answers", at: start)
    #expect(!standing.isPassedOver(1, at: start + .seconds(60)))
    standing.connected(2)
    standing.lost(2, nil, at: start)
    // Left because nobody used it, and tried again much later.
    standing.failed(2, "nobody answers", at: start + .seconds(60))
    #expect(!standing.isPassedOver(2, at: start + .seconds(60)))
    standing.failed(2, "nobody answers", at: start + .seconds(75))
    #expect(standing.isPassedOver(2, at: start + .seconds(75)))
    standing.connected(2)
    #expect(!standing.isPassedOver(2, at: start + .seconds(75)))
  }

  /// Tried in vain for ten seconds from then on.
  private func fail(_ standing: inout RelayStanding, from second: Int) {
    for more in [0, 10] { standing.failed(1, "nobody answers", at: start + .seconds(second + more)) }
  }

  private func asked(_ standing: inout RelayStanding, answers: Bool, after second: Int) -> Bool {
    standing.asked(1, answers: answers, at: start + .seconds(second))
  }

  @Test("a relay that was away and answers is passed over no more, and nothing is wrong with it")
  func isBack() {
    var standing = RelayStanding()
    standing.connected(1)
    standing.lost(1, "it closed the connection", at: start)
    fail(&standing, from: 1)
    #expect(standing.isDoubted(1) && standing.isPassedOver(1, at: start + .seconds(11)))
    #expect(!asked(&standing, answers: false, after: 12))
    #expect(standing.isPassedOver(1, at: start + .seconds(12)) && standing.troubles[1] != nil)
    #expect(asked(&standing, answers: true, after: 36))
    #expect(!standing.isPassedOver(1, at: start + .seconds(36)) && standing.troubles.isEmpty)
    fail(&standing, from: 40)
    #expect(!asked(&standing, answers: false, after: 60))
    #expect(asked(&standing, answers: true, after: 80), "it was away once more")
    #expect(!standing.isPassedOver(1, at: start + .seconds(80)))
  }

  @Test("a relay that answers and lets nobody in is tried once more, and then passed over")
  func answersInVain() {
    var standing = RelayStanding()
    fail(&standing, from: 0)
    #expect(asked(&standing, answers: true, after: 12))
    #expect(!standing.isPassedOver(1, at: start + .seconds(12)))
    fail(&standing, from: 13)
    for second in [24, 50, 300] {
      #expect(!asked(&standing, answers: true, after: second))
      #expect(standing.isPassedOver(1, at: start + .seconds(second)) && standing.troubles[1] != nil)
    }
    // Five minutes later it gets its ten seconds again, for the same answer.
    fail(&standing, from: 330)
    #expect(!asked(&standing, answers: true, after: 345))
    #expect(standing.isPassedOver(1, at: start + .seconds(345)))
  }

  @Test("of relays that were never tried, or are connected, nothing is doubted")
  func notDoubted() {
    var standing = RelayStanding()
    #expect(!standing.isDoubted(1))
    #expect(!asked(&standing, answers: true, after: 0))
    standing.connected(1)
    standing.says("full", 1)
    #expect(!standing.isDoubted(1))
    #expect(!asked(&standing, answers: false, after: 0))
    #expect(standing.troubles == [1: "full"])
    // The third one, which nobody tries again, is asked about for as long as it is said to be away.
    standing.lost(1, "it closed the connection", at: start)
    #expect(standing.isDoubted(1))
    #expect(asked(&standing, answers: true, after: 0))
    #expect(!standing.isDoubted(1) && standing.troubles.isEmpty)
  }

  @Test("what was tried in vain in another network, or has another record now, counts no more")
  func forgotten() {
    var standing = RelayStanding()
    for id in [1, 2] as [UInt16] {
      standing.failed(id, "nobody answers", at: start)
      standing.failed(id, "nobody answers", at: start + .seconds(10))
    }
    standing.keep([2])
    #expect(!standing.isPassedOver(1, at: start + .seconds(10)) && standing.isPassedOver(2, at: start + .seconds(10)))
    standing.forgetFailures()
    #expect(!standing.isPassedOver(2, at: start + .seconds(10)))
  }

  @Test("what is wrong with a relay is said until it is connected, or was left on purpose")
  func troubles() {
    var standing = RelayStanding()
    standing.failed(1, "nobody answers", at: start)
    #expect(standing.troubles == [1: "nobody answers"])
    standing.connected(1)
    #expect(standing.troubles.isEmpty)
    standing.says("full", 1)
    #expect(standing.troubles == [1: "full"])
    standing.says(nil, 1)
    #expect(standing.troubles.isEmpty)
    standing.lost(1, "it closed the connection", at: start)
    #expect(standing.troubles == [1: "it closed the connection"])
    standing.connected(1)
    standing.says("full", 1)
    standing.lost(1, nil, at: start)
    #expect(standing.troubles.isEmpty)
  }

  @Test("what was wrong in another network is forgotten, and what a relay says of itself is not")
  func troublesElsewhere() {
    var standing = RelayStanding()
    standing.failed(1, "nobody answers", at: start)
    standing.connected(2)
    standing.says("full", 2)
    standing.forgetFailures()
    #expect(standing.troubles == [2: "full"])
    standing.keep([1])
    #expect(standing.troubles.isEmpty, "it has another record now")
  }
}
