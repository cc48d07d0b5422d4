#if canImport(Glibc)
  import Glibc
#endif

/// A regular file that is open for reading.
final class ReadFile: Sendable {
  static let piece = 256 << 10

  let path: String
  /// When it was opened, in bytes.
  let size: Int
  private let descriptor: Int32

  init(_ path: String) throws(DataTransferError) {
    self.path = path
    descriptor = open(path, O_RDONLY | O_CLOEXEC)
    var status = stat()
    guard descriptor >= 0, fstat(descriptor, &status) == 0 else {
      size = 0
      throw .file(path: path, reason: SystemErrorText.of(errno))
    }
    size = Int(status.st_size)
    guard status.st_mode & S_IFMT == S_IFREG else { throw .file(path: path, reason: "it is not a file") }
  }

  deinit { if descriptor >= 0 { close(descriptor) } }

  /// Blocks for as long as the disk takes. The range lies within the size.
  func read(_ range: Range<Int>) throws(DataTransferError) -> [UInt8] {
    var failure: String?
    let bytes = [UInt8](unsafeUninitializedCapacity: range.count) { buffer, count in
      guard let start = buffer.baseAddress else { return }
      while count < range.count, failure == nil {
        let got = pread(descriptor, start + count, range.count - count, off_t(range.lowerBound + count))
        if got > 0 {
          count += got
        } else if got == 0 {
          failure = "it became shorter while it was read"
        } else if errno != EINTR {
          failure = SystemErrorText.of(errno)
        }
      }
    }
    if let failure { throw .file(path: path, reason: failure) }
    return bytes
  }
}
