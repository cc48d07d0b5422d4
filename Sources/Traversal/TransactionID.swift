public import Wire

/// Twelve random bytes by which an answer is known as the answer to one question: of a STUN request (RFC 5389, section 6) and of a
/// disco ping.
public struct TransactionID: Hashable, Sendable {
  public static let length = 12

  private let high: UInt64
  private let low: UInt32

  public init(random: some RandomSource) {
    high = random.uint64()
    low = random.uint32()
  }

  /// `nil` unless there are twelve bytes.
  public init?(_ bytes: some Collection<UInt8>) {
    guard bytes.count == TransactionID.length else { return nil }
    high = bytes.prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
    low = bytes.dropFirst(8).reduce(0) { $0 << 8 | UInt32($1) }
  }

  public var bytes: [UInt8] {
    var writer = ByteWriter(reservingCapacity: TransactionID.length)
    writer.bigEndian(high)
    writer.bigEndian(low)
    return writer.bytes
  }
}
