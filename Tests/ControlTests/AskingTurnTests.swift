import Identity
import TestSupport
import Testing

@testable import Control

@Suite("Whose definitions are asked for")
struct AskingTurnTests {
  private func machines(_ count: Int) -> [DID] {
    let random = SeededRandom(5)
    return (0..<count).map { _ in MachineIdentity.generate(random: random).did }
  }

  @Test("all, where one look may ask for all")
  func few() {
    var turn = AskingTurn()
    let waiting = machines(3)
    for _ in 0..<3 { #expect(turn.next(among: waiting, limit: 4) == waiting) }
    #expect(turn.next(among: [], limit: 4).isEmpty)
  }

  @Test("each in its turn, however many there are, and whoever of them is found meanwhile")
  func many() {
    var turn = AskingTurn()
    var waiting = machines(11)
    var asked: [DID: Int] = [:]
    for look in 0..<12 {
      let chosen = turn.next(among: waiting, limit: 4)
      #expect(chosen.count == 4 && Set(chosen).count == 4)
      for did in chosen { asked[did, default: 0] += 1 }
      if look == 4 { waiting.remove(at: 2) }
    }
    for did in waiting { #expect(asked[did, default: 0] >= 3) }
  }
}
