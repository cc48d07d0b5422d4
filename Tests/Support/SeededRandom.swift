public import Wire
import Synchronization

/// A reproducible random source (SplitMix64). A test prints its seed when it fails.
public final class SeededRandom: RandomSource, RandomNumberGenerator, Sendable {
  public let seed: UInt64
  private let state: Atomic<UInt64>

  public init(_ seed: UInt64) {
    self.seed = seed
    self.state = Atomic(seed)
  }

  public func next() -> UInt64 {
    var z = state.wrappingAdd(0x9e37_79b9_7f4a_7c15, ordering: .relaxed).newValue
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }

  public func fill(_ buffer: UnsafeMutableRawBufferPointer) {
    for index in buffer.indices { buffer[index] = UInt8(truncatingIfNeeded: next()) }
  }
}
