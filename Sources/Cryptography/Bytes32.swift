/// Thirty-two bytes as a plain value: what keys, hashes and key ids are.
///
/// Four words and not a SIMD vector: a vector wants 32-byte alignment, which the frames of async functions do not give.
public struct Bytes32: Hashable, Sendable {
  private struct Words: Hashable {
    var a: UInt64 = 0
    var b: UInt64 = 0
    var c: UInt64 = 0
    var d: UInt64 = 0
  }

  private let words: Words

  /// `nil` unless there are exactly 32 bytes.
  public init?(_ bytes: some Collection<UInt8>) {
    guard bytes.count == 32 else { return nil }
    var words = Words()
    withUnsafeMutableBytes(of: &words) { $0.copyBytes(from: bytes) }
    self.words = words
  }

  public static let zero = Bytes32(repeatElement(0, count: 32))!

  public var array: [UInt8] { Swift.withUnsafeBytes(of: words) { Array($0) } }

  public func withUnsafeBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
    try Swift.withUnsafeBytes(of: words, body)
  }
}
