/// Reads fields from a bounded run of bytes. Running out of bytes is an error, never a trap.
public struct ByteReader {
  public struct Truncated: Error, Equatable {
    public init() {}
  }

  private let bytes: ArraySlice<UInt8>
  private var position: Int

  public init(_ bytes: some Collection<UInt8>) {
    self.bytes = ArraySlice(Array(bytes))
    self.position = 0
  }

  public var remaining: Int { bytes.count - position }
  public var isAtEnd: Bool { remaining == 0 }

  public mutating func bytes(_ count: Int) throws(Truncated) -> [UInt8] {
    guard count >= 0, count <= remaining else { throw Truncated() }
    defer { position += count }
    return Array(bytes[(bytes.startIndex + position)..<(bytes.startIndex + position + count)])
  }

  public mutating func rest() -> [UInt8] {
    defer { position = bytes.count }
    return Array(bytes[(bytes.startIndex + position)...])
  }

  public mutating func skip(_ count: Int) throws(Truncated) {
    guard count >= 0, count <= remaining else { throw Truncated() }
    position += count
  }

  public mutating func uint8() throws(Truncated) -> UInt8 {
    guard remaining >= 1 else { throw Truncated() }
    defer { position += 1 }
    return bytes[bytes.startIndex + position]
  }

  public mutating func bigEndian<T: FixedWidthInteger>(_: T.Type = T.self) throws(Truncated) -> T {
    T(bigEndian: try native())
  }

  public mutating func littleEndian<T: FixedWidthInteger>(_: T.Type = T.self) throws(Truncated) -> T {
    T(littleEndian: try native())
  }

  private mutating func native<T: FixedWidthInteger>() throws(Truncated) -> T {
    let field = try bytes(MemoryLayout<T>.size)
    var value: T = 0
    withUnsafeMutableBytes(of: &value) { $0.copyBytes(from: field) }
    return value
  }
}

/// Builds a run of bytes field by field.
public struct ByteWriter {
  public private(set) var bytes: [UInt8] = []

  public init(reservingCapacity capacity: Int = 0) {
    bytes.reserveCapacity(capacity)
  }

  public mutating func append(_ more: some Sequence<UInt8>) {
    bytes.append(contentsOf: more)
  }

  public mutating func append(byte: UInt8) {
    bytes.append(byte)
  }

  public mutating func bigEndian(_ value: some FixedWidthInteger) {
    withUnsafeBytes(of: value.bigEndian) { bytes.append(contentsOf: $0) }
  }

  public mutating func littleEndian(_ value: some FixedWidthInteger) {
    withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
  }
}
