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
