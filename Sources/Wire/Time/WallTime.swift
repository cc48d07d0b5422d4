#if canImport(Glibc)
  import Glibc
#endif

/// A point in civil time, in microseconds since 1970-01-01T00:00:00Z: the resolution of DWN time stamps.
public struct WallTime: Hashable, Comparable, Sendable {
  public var microseconds: Int64

  public init(microseconds: Int64) {
    self.microseconds = microseconds
  }

  public init(seconds: Int64) {
    let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000)
    self.microseconds = overflow ? (seconds < 0 ? .min : .max) : product
  }

  /// Reads the clock. Only the edges of the program call this.
  public static func now() -> WallTime {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return WallTime(microseconds: Int64(time.tv_sec) &* 1_000_000 &+ Int64(time.tv_nsec) / 1000)
  }

  public static func < (a: WallTime, b: WallTime) -> Bool { a.microseconds < b.microseconds }

  public static func + (a: WallTime, b: Duration) -> WallTime {
    let (sum, overflow) = a.microseconds.addingReportingOverflow(b.nanoseconds / 1000)
    return WallTime(microseconds: overflow ? (b < .zero ? .min : .max) : sum)
  }

  public static func - (a: WallTime, b: WallTime) -> Duration {
    .microseconds(a.microseconds.subtractingReportingOverflow(b.microseconds).partialValue)
  }

  /// Whole seconds since 1970, rounded down.
  public var unixSeconds: Int64 {
    microseconds / 1_000_000 - (microseconds % 1_000_000 < 0 ? 1 : 0)
  }

  /// The form of DWN messages: `2026-07-11T12:00:00.000000Z`, always six fraction digits, always UTC.
  public var timestamp: String { text(fractionDigits: 6) }

  /// RFC 3339 with whole seconds: the form of payloads, `2026-07-11T12:00:00Z`.
  public var rfc3339: String { text(fractionDigits: 0) }

  private func text(fractionDigits: Int) -> String {
    let seconds = unixSeconds
    let rest = microseconds % 1_000_000
    let fraction = rest < 0 ? rest + 1_000_000 : rest
    let days = seconds >= 0 ? seconds / 86400 : -((-seconds + 86399) / 86400)
    let inDay = seconds - days * 86400
    let (year, month, day) = Self.civil(days: days)
    var text = Self.padded(year, 4) + "-" + Self.padded(month, 2) + "-" + Self.padded(day, 2)
    text +=
      "T" + Self.padded(inDay / 3600, 2) + ":" + Self.padded(inDay / 60 % 60, 2) + ":" + Self.padded(inDay % 60, 2)
    if fractionDigits == 6 { text += "." + Self.padded(fraction, 6) }
    return text + "Z"
  }

  /// Parses the DWN form alone, and only real instants (no 30 February, no second 60).
  public init?(timestamp: String) {
    let bytes = Array(timestamp.utf8)
    guard bytes.count == 27, bytes[10] == UInt8(ascii: "T"), bytes[19] == UInt8(ascii: "."),
      bytes[26] == UInt8(ascii: "Z")
    else { return nil }
    self.init(rfc3339: timestamp)
  }

  /// Parses RFC 3339 with any number of fraction digits (those beyond microseconds are dropped) and `Z` or a numeric offset.
  public init?(rfc3339: String) {
    let bytes = Array(rfc3339.utf8)
    guard bytes.count >= 20 else { return nil }
    func number(_ range: Range<Int>) -> Int64? {
      var value: Int64 = 0
      for index in range {
        guard bytes[index] >= 0x30, bytes[index] <= 0x39 else { return nil }
        value = value * 10 + Int64(bytes[index] - 0x30)
      }
      return value
    }
    guard bytes[4] == UInt8(ascii: "-"), bytes[7] == UInt8(ascii: "-"),
      bytes[10] == UInt8(ascii: "T") || bytes[10] == UInt8(ascii: "t"),
      bytes[13] == UInt8(ascii: ":"), bytes[16] == UInt8(ascii: ":"),
      let year = number(0..<4), let month = number(5..<7), let day = number(8..<10),
      let hour = number(11..<13), let minute = number(14..<16), let second = number(17..<19),
      (1...12).contains(month), day >= 1, day <= Self.daysInMonth(year, month), hour < 24, minute < 60, second < 60
    else { return nil }
    var index = 19
    var micros: Int64 = 0
    if bytes[index] == UInt8(ascii: ".") {
      index += 1
      var digits = 0
      while index < bytes.count, bytes[index] >= 0x30, bytes[index] <= 0x39 {
        if digits < 6 { micros = micros * 10 + Int64(bytes[index] - 0x30) }
        digits += 1
        index += 1
      }
      guard digits > 0 else { return nil }
      for _ in min(digits, 6)..<6 { micros *= 10 }
    }
    guard index < bytes.count else { return nil }
    var offset: Int64 = 0
    if bytes[index] == UInt8(ascii: "Z") || bytes[index] == UInt8(ascii: "z") {
      guard index + 1 == bytes.count else { return nil }
    } else {
      guard index + 6 == bytes.count, bytes[index + 3] == UInt8(ascii: ":"),
        bytes[index] == UInt8(ascii: "+") || bytes[index] == UInt8(ascii: "-"),
        let hours = number(index + 1..<index + 3), let minutes = number(index + 4..<index + 6), hours < 24, minutes < 60
      else { return nil }
      offset = (hours * 3600 + minutes * 60) * (bytes[index] == UInt8(ascii: "+") ? 1 : -1)
    }
    let seconds = Self.days(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset
    self.init(microseconds: seconds * 1_000_000 + micros)
  }

  private static func padded(_ value: Int64, _ width: Int) -> String {
    let digits = String(value)
    return String(repeating: "0", count: max(0, width - digits.count)) + digits
  }

  private static func daysInMonth(_ year: Int64, _ month: Int64) -> Int64 {
    switch month {
    case 2: (year % 4 == 0 && year % 100 != 0) || year % 400 == 0 ? 29 : 28
    case 4, 6, 9, 11: 30
    default: 31
    }
  }

  /// Days since 1970-01-01 of a date of the proleptic Gregorian calendar, counted in 400-year eras that begin in March.
  private static func days(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
    let shifted = month <= 2 ? year - 1 : year
    let era = (shifted >= 0 ? shifted : shifted - 399) / 400
    let yearOfEra = shifted - era * 400
    let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
    let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
    return era * 146_097 + dayOfEra - 719_468
  }

  private static func civil(days: Int64) -> (year: Int64, month: Int64, day: Int64) {
    let shifted = days + 719_468
    let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
    let dayOfEra = shifted - era * 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shiftedMonth = (5 * dayOfYear + 2) / 153
    let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
    return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * shiftedMonth + 2) / 5 + 1)
  }
}
