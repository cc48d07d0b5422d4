#if canImport(Glibc)
  import Glibc
#endif

/// Where random bytes come from. Protocol code is handed one, so that a test can replay a run.
public protocol RandomSource: Sendable {
  func fill(_ buffer: UnsafeMutableRawBufferPointer)
}

extension RandomSource {
  public func bytes(_ count: Int) -> [UInt8] {
    var result = [UInt8](repeating: 0, count: count)
    result.withUnsafeMutableBytes { fill($0) }
    return result
  }

  public func uint32() -> UInt32 {
    var value: UInt32 = 0
    withUnsafeMutableBytes(of: &value) { fill($0) }
    return value
  }

  public func uint64() -> UInt64 {
    var value: UInt64 = 0
    withUnsafeMutableBytes(of: &value) { fill($0) }
    return value
  }

  /// Uniform in `0..<bound`, by rejection.
  public func uniform(below bound: UInt64) -> UInt64 {
    precondition(bound > 0, "an empty range has no element")
    let limit = UInt64.max - UInt64.max % bound
    while true {
      let value = uint64()
      if value < limit { return value % bound }
    }
  }
}

/// The operating system's generator (`getentropy`).
public struct SystemRandom: RandomSource {
  public init() {}

  public func fill(_ buffer: UnsafeMutableRawBufferPointer) {
    // `getentropy` serves at most 256 bytes a call, and then always all of them.
    for offset in stride(from: 0, to: buffer.count, by: 256) {
      let status = getentropy(buffer.baseAddress! + offset, min(256, buffer.count - offset))
      precondition(status == 0, "the kernel gives no random bytes: no secret may be made without them")
    }
  }
}
