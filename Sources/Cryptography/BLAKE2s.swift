/// BLAKE2s (RFC 7693), unkeyed or keyed, with 1…32 bytes of output.
public struct BLAKE2s {
  private var state: (SIMD4<UInt32>, SIMD4<UInt32>)
  private var buffer: [UInt8]
  private var counter: UInt64 = 0
  private let outputLength: Int

  private static let low = SIMD4<UInt32>(0x6A09_E667, 0xBB67_AE85, 0x3C6E_F372, 0xA54F_F53A)
  private static let high = SIMD4<UInt32>(0x510E_527F, 0x9B05_688C, 0x1F83_D9AB, 0x5BE0_CD19)

  public init(key: [UInt8] = [], outputLength: Int = 32) {
    precondition((1...32).contains(outputLength) && key.count <= 32, "BLAKE2s has keys and outputs of up to 32 bytes")
    self.outputLength = outputLength
    state = (BLAKE2s.low, BLAKE2s.high)
    state.0[0] ^= 0x0101_0000 ^ UInt32(key.count) << 8 ^ UInt32(outputLength)
    buffer = []
    buffer.reserveCapacity(64)
    if !key.isEmpty { update(key + [UInt8](repeating: 0, count: 64 - key.count)) }
  }

  public mutating func update(_ bytes: some Collection<UInt8>) {
    for byte in bytes {
      // A full block is compressed only when more follows, since the last one is marked.
      if buffer.count == 64 {
        counter &+= 64
        compress(isLast: false)
        buffer.removeAll(keepingCapacity: true)
      }
      buffer.append(byte)
    }
  }

  public mutating func finalize() -> [UInt8] {
    counter &+= UInt64(buffer.count)
    buffer.append(contentsOf: repeatElement(0, count: 64 - buffer.count))
    compress(isLast: true)
    wipe(&buffer)
    var output: [UInt8] = []
    output.reserveCapacity(32)
    for half in [state.0, state.1] {
      for word in 0..<4 { withUnsafeBytes(of: half[word].littleEndian) { output.append(contentsOf: $0) } }
    }
    return Array(output.prefix(outputLength))
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
    var block = key.count > 64 ? BLAKE2s.hash(key) : key
    block.append(contentsOf: repeatElement(0, count: 64 - block.count))
    defer { wipe(&block) }
    var inner = BLAKE2s()
    inner.update(block.map { $0 ^ 0x36 })
    for part in message { inner.update(part) }
    var outer = BLAKE2s()
    outer.update(block.map { $0 ^ 0x5c })
    outer.update(inner.finalize())
    return outer.finalize()
  }

  private mutating func compress(isLast: Bool) {
    var m = (SIMD16<UInt32>())
    buffer.withUnsafeBytes { bytes in
      for index in 0..<16 {
        m[index] = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: index * 4, as: UInt32.self))
      }
    }
    var a = state.0
    var b = state.1
    var c = BLAKE2s.low
    var d = BLAKE2s.high
    d[0] ^= UInt32(truncatingIfNeeded: counter)
    d[1] ^= UInt32(truncatingIfNeeded: counter >> 32)
    if isLast { d[2] = ~d[2] }

    for round in 0..<10 {
      let s = round * 16
      let sigma = BLAKE2s.sigma
      @inline(__always) func words(_ first: Int) -> SIMD4<UInt32> {
        SIMD4(
          m[Int(sigma[s + first])], m[Int(sigma[s + first + 2])], m[Int(sigma[s + first + 4])],
          m[Int(sigma[s + first + 6])])
      }
      BLAKE2s.mix(&a, &b, &c, &d, words(0), words(1))
      b = SIMD4(b[1], b[2], b[3], b[0])
      c = SIMD4(c[2], c[3], c[0], c[1])
      d = SIMD4(d[3], d[0], d[1], d[2])
      BLAKE2s.mix(&a, &b, &c, &d, words(8), words(9))
      b = SIMD4(b[3], b[0], b[1], b[2])
      c = SIMD4(c[2], c[3], c[0], c[1])
      d = SIMD4(d[1], d[2], d[3], d[0])
    }
    state.0 ^= a ^ c
    state.1 ^= b ^ d
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

  private static let sigma: [UInt8] = [
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
    14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3,
    11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4,
    7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8,
    9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13,
    2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9,
    12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11,
    13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10,
    6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5,
    10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0,
  ]
}
