import TestSupport
import Testing
import Wire

@testable import DWNNode

/// How far a subscription has come, as a value.
@Suite
struct SubscriptionProgressTests {
  private func begun(after position: Int64, catchingUpTo head: Int64? = nil) -> SubscriptionProgress {
    var progress = SubscriptionProgress()
    progress.begin(after: position, catchingUpTo: head)
    return progress
  }

  @Test("who keeps up is handed what is stored, once, and nothing is looked for")
  func live() {
    var progress = begun(after: 5)
    #expect(progress.isLive && progress.next == .waitForEvent)
    #expect(progress.offer([4, 5, 7, 9]) == 2..<4)
    #expect(progress.offer([7, 9]).isEmpty)
    #expect(progress.offer([10]) == 0..<1)
    #expect(progress.next == .waitForEvent)
  }

  @Test("what is stored while a subscription is being opened is looked for, unless the opening has shown it")
  func opening() {
    var progress = SubscriptionProgress()
    #expect(!progress.isLive && progress.next == .waitForEvent)
    #expect(progress.offer([6]).isEmpty)
    progress.missed(upTo: 8)
    var later = progress
    progress.begin(after: 7)
    #expect(progress.next == .look(after: 7, through: 8, limit: 32))
    later.begin(after: 8)
    #expect(later.isLive && later.next == .waitForEvent)
  }

  @Test("a resumed subscription looks up to the head in strides, says that it is there, and then goes on")
  func resumed() {
    let head = 2 * SubscriptionProgress.stride + 10
    var progress = begun(after: 3, catchingUpTo: head)
    #expect(progress.next == .look(after: 3, through: 3 + SubscriptionProgress.stride, limit: 32))
    #expect(progress.offer([head + 1]).isEmpty)
    progress.looked(upTo: 3 + SubscriptionProgress.stride, taken: [4])
    progress.looked(upTo: 3 + 2 * SubscriptionProgress.stride, taken: [])
    #expect(progress.next == .look(after: 3 + 2 * SubscriptionProgress.stride, through: head, limit: 31))
    progress.looked(upTo: head, taken: [])
    #expect(progress.next == .endOfStored(head))
    progress.saidEndOfStored(head)
    #expect(progress.next == .look(after: head, through: head + 1, limit: 30))
    progress.looked(upTo: head + 1, taken: [head + 1])
    #expect(progress.isLive)
  }

  @Test("what is passed over leaves the window alone, and what came before it is still under way")
  func passedOver() {
    var progress = begun(after: 0)
    #expect(progress.offer(Array(1...40)) == 0..<32)
    progress.passOver(20)
    #expect(progress.next == .take([33]))
    progress.passOver(20)
    #expect(progress.next == .take([33]))
    progress.acknowledge(19)
    #expect(progress.next == .take(Array(33...40)))
  }

  @Test("what does not fit the window waits in the feed until there is room")
  func window() {
    var progress = begun(after: 0)
    #expect(progress.offer(Array(1...40)) == 0..<32)
    #expect(!progress.isLive && progress.next == .waitForAcknowledgement)
    #expect(progress.offer([50]).isEmpty)
    progress.acknowledge(99)
    #expect(progress.next == .waitForAcknowledgement)
    progress.acknowledge(20)
    #expect(progress.next == .take(Array(33...40) + [50]))
    // Some of them are gone by now.
    progress.looked(upTo: 40, taken: Array(33...38))
    #expect(progress.next == .take([50]))
    progress.looked(upTo: 50, taken: [50])
    #expect(progress.isLive)
    progress.acknowledge(50)
    #expect(progress.offer(Array(51...90)) == 0..<32)
  }

  @Test("a full window with nothing behind it is no reason to wait for anybody")
  func fullAndQuiet() {
    var progress = begun(after: 0)
    #expect(progress.offer(Array(1...32)) == 0..<32)
    #expect(progress.isLive && progress.next == .waitForEvent)
    #expect(progress.offer([40]).isEmpty)
    #expect(progress.next == .waitForAcknowledgement)
    progress.acknowledge(32)
    #expect(progress.next == .take([40]))
  }

  @Test("of what was missed so many positions are kept, and what lies behind them is looked for")
  func missedMany() {
    let most = Int64(SubscriptionProgress.mostMissed)
    var progress = begun(after: 0)
    #expect(progress.offer(Array(1...32)) == 0..<32)
    progress.miss(Array(33...most))
    progress.miss((0..<100).map { most + 10 + $0 })
    progress.miss([most + 200])
    progress.acknowledge(32)
    var taken: [Int64] = []
    while case .take(let positions) = progress.next {
      taken += positions
      progress.looked(upTo: positions[positions.count - 1], taken: positions)
      progress.acknowledge(positions[positions.count - 1])
    }
    #expect(taken == Array(33...most) + (0..<32).map { most + 10 + $0 })
    #expect(progress.next == .look(after: most + 41, through: most + 200, limit: 32))
  }

  @Test("between what was missed and what nobody knows of, everything is looked for")
  func missedInBetween() {
    var progress = begun(after: 0)
    progress.miss([5, 9])
    progress.missed(upTo: 20)
    progress.miss([15])
    progress.miss([30])
    #expect(progress.next == .take([5, 9]))
    progress.looked(upTo: 9, taken: [5, 9])
    #expect(progress.next == .look(after: 9, through: 30, limit: 30))
    progress.looked(upTo: 30, taken: [15, 17, 30])
    #expect(progress.isLive)
    #expect(progress.offer([17, 30, 31]) == 2..<3)
  }

  @Test("whatever happens in whatever order, every match is taken once and in order", arguments: 0..<20)
  func random(round: Int) {
    let seed = UInt64.random(in: .min ... .max)
    let random = SeededRandom(seed)
    func number(_ bound: Int) -> Int { Int(random.uniform(below: UInt64(bound))) }
    var matches: Set<Int64> = []
    var head: Int64 = 0
    func store() {
      for _ in 0..<number(20) {
        head += 1
        if number(3) > 0 { matches.insert(head) }
      }
    }
    store()
    var progress = SubscriptionProgress()
    let begin = Int64(number(Int(head) + 1))
    let isResumed = number(2) == 0
    var told = head
    let seenAtOpening = head
    if number(2) == 0 { store() }
    progress.begin(after: isResumed ? begin : seenAtOpening, catchingUpTo: isResumed ? seenAtOpening : nil)
    var taken: [Int64] = []
    var ends = 0
    func act() {
      switch progress.next {
      case .look(let after, let through, let limit):
        let found = matches.filter { $0 > after && $0 <= through }.sorted().prefix(limit)
        if number(4) == 0 { store() }
        taken += found
        progress.looked(upTo: found.count == limit ? found[found.count - 1] : through, taken: Array(found))
      case .take(let positions):
        if number(4) == 0 { store() }
        taken += positions
        progress.looked(upTo: positions[positions.count - 1], taken: positions)
      case .endOfStored(let end):
        ends += 1
        progress.saidEndOfStored(end)
      case .waitForAcknowledgement: progress.acknowledge(taken[taken.count - 1 - number(3)])
      case .waitForEvent: break
      }
    }
    func tell() {
      let news = matches.filter { $0 > told }.sorted()
      told = head
      if number(8) == 0 {
        if let last = news.last { progress.missed(upTo: last) }
      } else if number(8) == 0 {
        progress.miss(news)
      } else {
        let range = progress.offer(news)
        taken += news[range]
      }
    }
    for _ in 0..<400 {
      switch number(4) {
      case 0: store()
      case 1: tell()
      case 2: if let last = taken.last { progress.acknowledge(last) }
      default: act()
      }
    }
    while told < head || progress.next != .waitForEvent {
      tell()
      act()
      if let last = taken.last { progress.acknowledge(last) }
    }
    let expected = matches.filter { $0 > (isResumed ? begin : seenAtOpening) }.sorted()
    #expect(taken == expected, "seed \(seed)")
    #expect(ends == (isResumed ? 1 : 0), "seed \(seed)")
  }
}
