/// BLAKE2s (RFC 7693), unkeyed or keyed, with 1…32 bytes of output. It allocates nothing but its result.
public struct BLAKE2s {
  private static let blockLength = 64

  private var state: (SIMD4<UInt32>, SIMD4<UInt32>)
  /// The last bytes, of which no block was made yet: it is compressed only when more follows, since the last one is marked.
  private var buffer = InlineArray<64, UInt8>(repeating: 0)
  private var count = 0
  private var counter: UInt64 = 0
  private let outputLength: Int

  private static var low: SIMD4<UInt32> { SIMD4(0x6A09_E667, 0xBB67_AE85, 0x3C6E_F372, 0xA54F_F53A) }
  private static var high: SIMD4<UInt32> { SIMD4(0x510E_527F, 0x9B05_688C, 0x1F83_D9AB, 0x5BE0_CD19) }

  public init(key: [UInt8] = [], outputLength: Int = 32) {
    precondition((1...32).contains(outputLength) && key.count <= 32, "BLAKE2s has keys and outputs of up to 32 bytes")
    self.outputLength = outputLength
    state = (BLAKE2s.low, BLAKE2s.high)
    state.0[0] ^= 0x0101_0000 ^ UInt32(key.count) << 8 ^ UInt32(outputLength)
    guard !key.isEmpty else { return }
    update(key)
    count = BLAKE2s.blockLength
  }

  /// With a block in which each byte of the key was taken together with the same other one, as HMAC begins.
  private init(padding: UInt8, key: [UInt8]) {
    self.init()
    for index in 0..<BLAKE2s.blockLength { buffer[index] = padding ^ (index < key.count ? key[index] : 0) }
    count = BLAKE2s.blockLength
  }

  public mutating func update(_ bytes: some Collection<UInt8>) {
    if bytes.withContiguousStorageIfAvailable({ update(UnsafeRawBufferPointer($0)) }) == nil { update(Array(bytes)) }
  }

  public mutating func update(_ bytes: [UInt8]) {
    bytes.withUnsafeBytes { update($0) }
  }

  public mutating func update(_ bytes: UnsafeRawBufferPointer) {
    var rest = bytes
    while !rest.isEmpty {
      if count == BLAKE2s.blockLength { compress(isLast: false) }
      let part = min(BLAKE2s.blockLength - count, rest.count)
      withUnsafeMutableBytes(of: &buffer) { buffer in
        UnsafeMutableRawBufferPointer(rebasing: buffer[count..<count + part]).copyMemory(
          from: UnsafeRawBufferPointer(rebasing: rest[..<part]))
      }
      count += part
      rest = UnsafeRawBufferPointer(rebasing: rest[part...])
    }
  }

  public mutating func finalize() -> [UInt8] {
    for index in count..<BLAKE2s.blockLength { buffer[index] = 0 }
    compress(isLast: true)
    for index in 0..<BLAKE2s.blockLength { buffer[index] = 0 }
    let words = (state.0, state.1)
    return [UInt8](unsafeUninitializedCapacity: outputLength) { output, count in
      withUnsafeBytes(of: words) {
        UnsafeMutableRawBufferPointer(output).copyMemory(from: .init(rebasing: $0[..<outputLength]))
      }
      count = outputLength
    }
  }

  public static func hash(_ parts: [UInt8]...) -> [UInt8] {
    var hasher = BLAKE2s()
    for part in parts { hasher.update(part) }
    return hasher.finalize()
  }

  /// WireGuard's MAC: keyed, 16 bytes.
  public static func mac(key: [UInt8], _ message: some Collection<UInt8>) -> [UInt8] {
    var hasher = BLAKE2s(key: key, outputLength: 16)
    hasher.update(message)
    return hasher.finalize()
  }

  /// HMAC (RFC 2104) over BLAKE2s-256.
  public static func hmac(key: [UInt8], _ message: [UInt8]...) -> [UInt8] {
    var short = key.count > blockLength ? BLAKE2s.hash(key) : key
    defer { wipe(&short) }
    var inner = BLAKE2s(padding: 0x36, key: short)
    for part in message { inner.update(part) }
    var outer = BLAKE2s(padding: 0x5c, key: short)
    outer.update(inner.finalize())
    return outer.finalize()
  }

  /// Takes the buffer in, and empties it.
  private mutating func compress(isLast: Bool) {
    counter &+= UInt64(count)
    count = 0
    var a = state.0
    var b = state.1
    var c = BLAKE2s.low
    var d = BLAKE2s.high
    d[0] ^= UInt32(truncatingIfNeeded: counter)
    d[1] ^= UInt32(truncatingIfNeeded: counter >> 32)
    if isLast { d[2] = ~d[2] }
    withUnsafeBytes(of: buffer) { m in
      BLAKE2s.rounds(&a, &b, &c, &d, m)
    }
    state.0 ^= a ^ c
    state.1 ^= b ^ d
  }

  @inline(__always)
  private static func rounds(
    _ a: inout SIMD4<UInt32>, _ b: inout SIMD4<UInt32>, _ c: inout SIMD4<UInt32>, _ d: inout SIMD4<UInt32>,
    _ m: UnsafeRawBufferPointer
  ) {
    round(&a, &b, &c, &d, m, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
    round(&a, &b, &c, &d, m, 14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3)
    round(&a, &b, &c, &d, m, 11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4)
    round(&a, &b, &c, &d, m, 7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8)
    round(&a, &b, &c, &d, m, 9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13)
    round(&a, &b, &c, &d, m, 2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9)
    round(&a, &b, &c, &d, m, 12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11)
    round(&a, &b, &c, &d, m, 13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10)
    round(&a, &b, &c, &d, m, 6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5)
    round(&a, &b, &c, &d, m, 10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0)
  }

  /// One round, with the order of the message's words in it (RFC 7693, section 2.7).
  @inline(__always)
  private static func round(
    _ a: inout SIMD4<UInt32>, _ b: inout SIMD4<UInt32>, _ c: inout SIMD4<UInt32>, _ d: inout SIMD4<UInt32>,
    _ m: UnsafeRawBufferPointer, _ s0: Int, _ s1: Int, _ s2: Int, _ s3: Int, _ s4: Int, _ s5: Int, _ s6: Int, _ s7: Int,
    _ s8: Int, _ s9: Int, _ s10: Int, _ s11: Int, _ s12: Int, _ s13: Int, _ s14: Int, _ s15: Int
  ) {
    @inline(__always) func word(_ index: Int) -> UInt32 {
      UInt32(littleEndian: m.loadUnaligned(fromByteOffset: index &* 4, as: UInt32.self))
    }
    mix(
      &a, &b, &c, &d, SIMD4(word(s0), word(s2), word(s4), word(s6)), SIMD4(word(s1), word(s3), word(s5), word(s7)))
    b = SIMD4(b[1], b[2], b[3], b[0])
    c = SIMD4(c[2], c[3], c[0], c[1])
    d = SIMD4(d[3], d[0], d[1], d[2])
    mix(
      &a, &b, &c, &d, SIMD4(word(s8), word(s10), word(s12), word(s14)),
      SIMD4(word(s9), word(s11), word(s13), word(s15)))
    b = SIMD4(b[3], b[0], b[1], b[2])
    c = SIMD4(c[2], c[3], c[0], c[1])
    d = SIMD4(d[1], d[2], d[3], d[0])
  }

  @inline(__always)
  private static func mix(
    _ a: inout SIMD4<UInt32>, _ b: inout SIMD4<UInt32>, _ c: inout SIMD4<UInt32>, _ d: inout SIMD4<UInt32>,
    _ x: SIMD4<UInt32>, _ y: SIMD4<UInt32>
  ) {
    a = a &+ b &+ x
    d = rotateRight(d ^ a, 16)
    c = c &+ d
    b = rotateRight(b ^ c, 12)
    a = a &+ b &+ y
    d = rotateRight(d ^ a, 8)
    c = c &+ d
    b = rotateRight(b ^ c, 7)
  }

  @inline(__always)
  private static func rotateRight(_ value: SIMD4<UInt32>, _ count: UInt32) -> SIMD4<UInt32> {
    value &>> SIMD4(repeating: count) | value &<< SIMD4(repeating: 32 - count)
  }
}
