import TestSupport
import Testing
import Wire
import WireGuard

@Suite("The replay window") struct ReplayWindowTests {
  @Test("known sequences", .enabled(if: VectorFile.replay.isThere, VectorFile.missing))
  func sequences() throws {
    let file = try VectorFile.replay.load()
    #expect(ProtocolConstants.rejectAfterMessages == (try file.number("reject_after_messages")))
    for sequence in try file.list("sequences") {
      var window = ReplayWindow()
      for (number, step) in try sequence.list("steps").enumerated() {
        let verdict = window.accept(try step.number("counter"))
        #expect(verdict == step["accept"]?.bool, "\(sequence["name"]?.string ?? ""), step \(number)")
      }
    }
  }

  private static func verdicts(_ counters: some Sequence<UInt64>) -> [Bool] {
    var window = ReplayWindow()
    return counters.map { window.accept($0) }
  }

  @Test("ascending 1…8128, then 0 twice")
  func ascending() {
    let verdicts = Self.verdicts(Array(1...8128) + [0, 0])
    #expect(verdicts.dropLast().allSatisfy { $0 } && verdicts.last == false)
  }

  @Test("ascending 2…8129, then 1 is within the window and 0 is not")
  func ascendingPast() {
    #expect(Self.verdicts(Array(2...8129) + [1, 0]).suffix(2) == [true, false])
  }

  @Test("descending from 8129 and 8130: the window is 8128 counters behind the greatest")
  func descending() {
    #expect(Self.verdicts((1...8129).reversed()).allSatisfy { $0 })
    let verdicts = Self.verdicts((2...8130).reversed() + [0])
    #expect(verdicts.dropLast().allSatisfy { $0 } && verdicts.last == false)
    #expect(Self.verdicts((1...8128).reversed() + [8129, 0]).suffix(2) == [true, false])
    #expect(Self.verdicts((1...8128).reversed() + [0, 8129]).allSatisfy { $0 })
  }

  @Test("it agrees with a plain set on random walks", arguments: 0..<20)
  func againstASet(number: UInt64) {
    let random = SeededRandom(0x5eed_0000 + number)
    var window = ReplayWindow()
    var seen: Set<UInt64> = []
    var greatest: UInt64 = 0
    let limit: UInt64 = number % 4 == 3 ? 60_000 : ProtocolConstants.rejectAfterMessages
    for step in 0..<6000 {
      let counter: UInt64 =
        switch random.uniform(below: 10) {
        case 0: greatest &+ random.uniform(below: 20_000)
        case 1: greatest > 8200 ? greatest - 8120 - random.uniform(below: 20) : random.uniform(below: 10)
        case 2...5: greatest &+ random.uniform(below: 3)
        default: greatest > 200 ? greatest - random.uniform(below: 200) : random.uniform(below: 200)
        }
      let isFresh =
        counter < limit && !seen.contains(counter) && (counter > greatest || greatest - counter <= ReplayWindow.size)
      let verdict = window.accept(counter, limit: limit)
      #expect(verdict == isFresh, "seed \(random.seed), step \(step), counter \(counter), greatest \(greatest)")
      if verdict {
        seen.insert(counter)
        greatest = max(greatest, counter)
      }
    }
  }

  @Test("it is a plain value of 1032 bytes")
  func layout() {
    #expect(MemoryLayout<ReplayWindow>.size == 1032)
  }
}
