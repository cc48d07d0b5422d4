import Synchronization
import Wire

/// Gives the bytes that a vector says were random, then zeros.
final class ScriptedRandom: RandomSource {
  private let script: Mutex<[UInt8]>

  init(_ bytes: [UInt8]) { script = Mutex(bytes) }

  func fill(_ buffer: UnsafeMutableRawBufferPointer) {
    script.withLock { bytes in
      let count = min(bytes.count, buffer.count)
      buffer.copyBytes(from: bytes.prefix(count) + [UInt8](repeating: 0, count: buffer.count - count))
      bytes.removeFirst(count)
    }
  }
}
