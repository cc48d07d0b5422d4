/// A point of a 256-bit curve in affine coordinates, big-endian, and its encodings (SEC 1 section 2.3.3).
///
/// | form | bytes |
/// |---|---|
/// | compressed | `02` or `03` for an even or odd y, x (32) |
/// | uncompressed | `04`, x (32), y (32) |
///
/// Only coordinates: that the point lies on its curve is what the key types see to that hold one.
public struct CurvePoint: Hashable, Sendable {
  public let x: Bytes32
  public let y: Bytes32

  public init(x: Bytes32, y: Bytes32) {
    self.x = x
    self.y = y
  }

  /// `nil` unless the bytes are an uncompressed encoding.
  init?(uncompressed bytes: some Collection<UInt8>) {
    guard bytes.count == 65, bytes.first == 0x04, let x = Bytes32(bytes.dropFirst().prefix(32)),
      let y = Bytes32(bytes.dropFirst(33))
    else { return nil }
    self.init(x: x, y: y)
  }

  public var uncompressed: [UInt8] { [0x04] + x.array + y.array }

  public var compressed: [UInt8] { [0x02 | y.array[31] & 1] + x.array }

  /// Whether bytes begin and end as an encoding does. The hybrid forms `06` and `07` are refused: a key has two spellings, not three.
  static func isEncoding(_ bytes: [UInt8]) -> Bool {
    switch bytes.first {
    case 0x02, 0x03: bytes.count == 33
    case 0x04: bytes.count == 65
    default: false
    }
  }
}
