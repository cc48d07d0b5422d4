import Testing
import TestSupport
import Wire

@Suite("Time")
struct TimeTests {
  @Test(
    "a point in time is written in the form of messages",
    arguments: [
      (0, "1970-01-01T00:00:00.000000Z"), (951_782_400_000_001, "2000-02-29T00:00:00.000001Z"),
      (1_709_251_199_999_999, "2024-02-29T23:59:59.999999Z"), (1_783_771_200_000_000, "2026-07-11T12:00:00.000000Z"),
      (4_107_542_400_000_000, "2100-03-01T00:00:00.000000Z"), (-1, "1969-12-31T23:59:59.999999Z"),
      (-62_167_219_200_000_000, "0000-01-01T00:00:00.000000Z"),
      (253_402_300_799_999_999, "9999-12-31T23:59:59.999999Z"),
    ] as [(Int64, String)])
  func timestamp(microseconds: Int64, text: String) {
    #expect(WallTime(microseconds: microseconds).timestamp == text)
    #expect(WallTime(timestamp: text) == WallTime(microseconds: microseconds))
    #expect(WallTime(rfc3339: text) == WallTime(microseconds: microseconds))
  }

  @Test(
    "a date that does not exist is refused",
    arguments: [
      "2026-02-29T00:00:00.000000Z", "1900-02-29T00:00:00.000000Z", "2100-02-29T00:00:00.000000Z",
      "2024-02-30T00:00:00.000000Z", "2026-04-31T00:00:00.000000Z", "2026-13-01T00:00:00.000000Z",
      "2026-00-01T00:00:00.000000Z", "2026-01-00T00:00:00.000000Z", "2026-01-32T00:00:00.000000Z",
      "2026-01-01T24:00:00.000000Z", "2026-01-01T00:60:00.000000Z", "2026-01-01T23:59:60.000000Z",
    ])
  func noSuchDate(text: String) {
    #expect(WallTime(timestamp: text) == nil)
    #expect(WallTime(rfc3339: text) == nil)
  }

  @Test(
    "the form of messages has six fraction digits, a T and a Z",
    arguments: [
      "", "2026-07-11T12:00:00Z", "2026-07-11T12:00:00.000Z", "2026-07-11T12:00:00.0000000Z",
      "2026-07-11t12:00:00.000000Z",
      "2026-07-11T12:00:00.000000z", "2026-07-11 12:00:00.000000Z", "2026-07-11T12:00:00.00000+Z",
      "2026-07-11T12:00:00.000000",
      "2026-07-11T12:00:00.1+00:00", "+026-07-11T12:00:00.000000Z", "2026-07-11T12:00:00,000000Z",
    ])
  func notTimestamp(text: String) {
    #expect(WallTime(timestamp: text) == nil)
  }

  @Test(
    "payload times may have any fraction and an offset",
    arguments: [
      ("2026-07-11T12:00:00Z", 0), ("2026-07-11t12:00:00z", 0), ("2026-07-11T14:30:00+02:30", 0),
      ("2026-07-11T00:00:00-12:00", 0), ("2026-07-11T12:00:00.5Z", 500_000),
      ("2026-07-11T12:00:00.123456789Z", 123_456),
      ("2026-07-11T12:00:00.9999999+00:00", 999_999),
    ] as [(String, Int64)])
  func rfc3339(text: String, fraction: Int64) {
    #expect(WallTime(rfc3339: text) == WallTime(microseconds: 1_783_771_200_000_000 + fraction))
  }

  @Test(
    "a payload time of another form is refused",
    arguments: [
      "2026-07-11", "2026-07-11T12:00:00", "2026-07-11T12:00:00.Z", "2026-07-11T12:00:00+0200",
      "2026-07-11T12:00:00+24:00",
      "2026-07-11T12:00:00+01:60", "2026-07-11T12:00:00ZZ", "2026-07-11T12:00:00Z ", "2026-7-11T12:00:00.0Z",
      "2026-07-11T12:00:00.1é", "２026-07-11T12:00:00Z",
    ])
  func notRFC3339(text: String) {
    #expect(WallTime(rfc3339: text) == nil)
  }

  @Test("every microsecond of ten thousand years comes back from its text, in order")
  func roundTrip() {
    let random = SeededRandom(.random(in: 0...(.max)))
    var last: (time: WallTime, text: String)?
    for _ in 0..<5000 {
      let offset = Int64(random.uniform(below: 315_569_519_999_999_999))
      let time = WallTime(microseconds: -62_167_219_200_000_000 + offset)
      #expect(WallTime(timestamp: time.timestamp) == time, "seed \(random.seed)")
      #expect(WallTime(rfc3339: time.rfc3339)?.unixSeconds == time.unixSeconds, "seed \(random.seed)")
      if let last { #expect((last.time < time) == (last.text < time.timestamp), "seed \(random.seed)") }
      last = (time, time.timestamp)
    }
  }

  @Test("each day follows the one before, through leap years and centuries")
  func days() {
    var time = WallTime(microseconds: -62_167_219_200_000_000)
    var text = time.timestamp
    for _ in 0..<150_000 {
      time = time + .seconds(86400)
      let next = time.timestamp
      #expect(text < next)
      text = next
    }
    #expect(WallTime(timestamp: text) == time)
  }

  @Test("arithmetic saturates at the ends, where writing still works")
  func ends() {
    let last = WallTime(microseconds: .max)
    let first = WallTime(microseconds: .min)
    #expect(last + .seconds(1) == last)
    #expect(first + .seconds(-1) == first)
    #expect(WallTime(seconds: .max) == last)
    #expect(first.unixSeconds == -9_223_372_036_855)
    #expect(!first.timestamp.isEmpty && !last.timestamp.isEmpty)
    #expect(Instant(nanoseconds: .max) + .seconds(1) == Instant(nanoseconds: .max))
    #expect(Instant(nanoseconds: 5) - .seconds(1) == Instant(nanoseconds: 0))
  }

  @Test("the time between two instants has a sign")
  func difference() {
    let early = Instant(nanoseconds: 1_000)
    let late = early + .milliseconds(3)
    #expect(late - early == .milliseconds(3))
    #expect(early - late == .milliseconds(-3))
    #expect(WallTime(seconds: 3) - WallTime(seconds: 5) == .seconds(-2))
    #expect(Duration.seconds(Int64.max).nanoseconds == .max)
    #expect(Duration.milliseconds(-1500).seconds == -1.5)
  }
}
