import Wire

/// The time stamp of an initiation (WireGuard §5.1): TAI seconds and nanoseconds in twelve big-endian bytes, ordered as text.
///
/// The nanoseconds are cut to multiples of 2²⁴ (about 17 ms), so that an initiation does not tell how the clock runs exactly.
struct TAI64N: Hashable, Comparable, Sendable {
  private static let epoch: UInt64 = 0x4000_0000_0000_000A
  private static let step: UInt32 = 1 << 24

  private let seconds: UInt64
  private let nanoseconds: UInt32

  init(_ time: WallTime) {
    let whole = time.unixSeconds
    let microseconds = time.microseconds - whole * 1_000_000
    seconds = TAI64N.epoch &+ UInt64(bitPattern: whole)
    nanoseconds = UInt32(truncatingIfNeeded: microseconds * 1000) & ~(TAI64N.step - 1)
  }

  /// `nil` unless there are twelve bytes.
  init?(_ bytes: [UInt8]) {
    var reader = ByteReader(bytes)
    guard bytes.count == 12, let seconds = try? reader.bigEndian(UInt64.self),
      let nanoseconds = try? reader.bigEndian(UInt32.self)
    else { return nil }
    self.seconds = seconds
    self.nanoseconds = nanoseconds
  }

  private init(seconds: UInt64, nanoseconds: UInt32) {
    self.seconds = seconds
    self.nanoseconds = nanoseconds
  }

  var bytes: [UInt8] {
    var writer = ByteWriter(reservingCapacity: 12)
    writer.bigEndian(seconds)
    writer.bigEndian(nanoseconds)
    return writer.bytes
  }

  /// The next stamp that is greater, for a clock that stood still or went back.
  var successor: TAI64N {
    nanoseconds < 1_000_000_000 - TAI64N.step
      ? TAI64N(seconds: seconds, nanoseconds: nanoseconds + TAI64N.step)
      : TAI64N(seconds: seconds &+ 1, nanoseconds: 0)
  }

  static func < (a: TAI64N, b: TAI64N) -> Bool {
    a.seconds == b.seconds ? a.nanoseconds < b.nanoseconds : a.seconds < b.seconds
  }
}
