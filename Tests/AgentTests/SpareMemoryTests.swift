import Testing
import Wire

@testable import Agent

@Suite("Spare memory")
struct SpareMemoryTests {
  private let start = Instant(nanoseconds: 1_000_000_000_000)

  @Test("a process that used little of a core for a while has come to rest, and is told so once")
  func rest() {
    var watch = RestWatch(now: start, processorTime: .seconds(3))
    let first = watch.hasComeToRest(now: start + .seconds(30), processorTime: .seconds(3) + .milliseconds(100))
    let second = watch.hasComeToRest(now: start + .seconds(150), processorTime: .seconds(3) + .milliseconds(200))
    #expect(first)
    #expect(!second)
    #expect(watch.isResting)
  }

  @Test("a process that carries packets is not at rest")
  func busy() {
    var watch = RestWatch(now: start, processorTime: .zero)
    let isResting = watch.hasComeToRest(now: start + .seconds(30), processorTime: .seconds(1))
    #expect(!isResting)
    #expect(!watch.isResting)
  }

  @Test("after it has been busy again it comes to rest again")
  func again() {
    var watch = RestWatch(now: start, processorTime: .zero)
    var found: [Bool] = []
    for (seconds, used) in [(30, 10), (150, 20), (270, 2000), (300, 2050), (420, 2060)] {
      found.append(
        watch.hasComeToRest(now: start + .seconds(seconds), processorTime: .milliseconds(used)))
    }
    #expect(found == [true, false, false, true, false])
  }

  @Test("at rest it is looked at less often")
  func pause() {
    var watch = RestWatch(now: start, processorTime: .zero)
    let early = watch.pause
    _ = watch.hasComeToRest(now: start + .seconds(30), processorTime: .zero)
    #expect(watch.pause > early)
  }

  @Test("code that is used again after it was given back is as it was")
  func givenBack() throws {
    let numbers = (0..<100_000).map { $0 * $0 }
    let value = try JSONValue(parsing: #"{"a":[1,2,3],"b":"text"}"#)
    SpareMemory.giveBackCode()
    #expect(numbers.indices.allSatisfy { numbers[$0] == $0 * $0 })
    #expect(try JSONValue(parsing: value.text) == value)
  }
}
