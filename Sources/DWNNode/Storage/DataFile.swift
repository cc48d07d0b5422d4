#if canImport(Glibc)
  import Glibc
#endif
import DWN
import Synchronization

/// Data of one message in a file that never changes any more. Who holds this can read it, whatever happens to the file's name.
///
/// A file that no message names yet is removed with the last one who holds it; `keep` is called when a message does.
final class DataFile: Sendable {
  /// Within its folder.
  let name: String
  let size: Int
  private let descriptor: Int32
  /// Where it is removed from unless it is kept.
  private let path: String
  private let isKept: Atomic<Bool>
  /// The room that it takes among what waits for its messages.
  private let room: StagingRoom?

  /// A file that is complete and on the disk. Takes the descriptor over.
  init(staged name: String, path: String, descriptor: Int32, size: Int, room: StagingRoom?) {
    self.name = name
    self.path = path
    self.descriptor = descriptor
    self.size = size
    self.room = room
    isKept = Atomic(false)
  }

  private init(kept name: String, path: String, descriptor: Int32, size: Int) {
    self.name = name
    self.path = path
    self.descriptor = descriptor
    self.size = size
    room = nil
    isKept = Atomic(true)
  }

  /// A file that a message names. `nil` when it is not there, or has not the size that the message says; throws when it cannot be
  /// opened for another reason, which says nothing of the data.
  static func kept(_ name: String, path: String, size: Int) throws(NodeError) -> DataFile? {
    let descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
    guard descriptor >= 0 else {
      if errno == ENOENT { return nil }
      throw FileCopy.failure(path)
    }
    let file = DataFile(kept: name, path: path, descriptor: descriptor, size: size)
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw FileCopy.failure(path) }
    return Int(status.st_size) == size ? file : nil
  }

  deinit {
    Glibc.close(descriptor)
    if !isKept.load(ordering: .acquiring) { unlink(path) }
  }

  /// From now on the file outlives this object.
  func keep() { isKept.store(true, ordering: .releasing) }

  /// Of everything in it. Blocks for as long as that takes.
  func cid() throws(NodeError) -> CID {
    var hash = DataCID()
    for start in stride(from: 0, to: size, by: Self.piece) {
      hash.update(try read(start..<min(start + Self.piece, size)))
    }
    return hash.finalize()
  }

  private static let piece = 1 << 20

  /// Blocks for as long as the disk takes. The range lies within the size.
  func read(_ range: Range<Int>) throws(NodeError) -> [UInt8] {
    precondition(range.lowerBound >= 0 && range.upperBound <= size)
    var failure: NodeError?
    let bytes = [UInt8](unsafeUninitializedCapacity: range.count) { buffer, count in
      while count < range.count {
        let got = pread(descriptor, buffer.baseAddress! + count, range.count - count, range.lowerBound + count)
        if got > 0 {
          count += got
        } else if got == 0 || errno != EINTR {
          failure = .databaseFailed(
            path: path, reason: got == 0 ? "the file is too short" : String(cString: strerror(errno)))
          return
        }
      }
    }
    if let failure { throw failure }
    return bytes
  }
}
