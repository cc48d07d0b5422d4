#if canImport(Glibc)
  import Glibc
#endif

/// A write-ahead log as it was left, before SQLite reads it (the SQLite file format, section 4).
///
/// SQLite takes what stands before the first frame that is not whole. After a crash that frame was being written, or what stands behind
/// it is left of commits that failed: on these nothing was built. Where a commit stands behind it on which another one was, which each
/// frame's checksum tells, the disk lost what was committed.
struct WriteAheadLog {
  static func path(of database: String) -> String { database + "-wal" }

  private static let headerSize = 32
  private static let frameHeaderSize = 24
  private static let magic: UInt32 = 0x377f_0682

  private let descriptor: Int32
  private let size: Int
  private let pageSize: Int
  /// Both numbers by which a frame says that it belongs to this log and no earlier one.
  private let salts: UInt64
  private let isBigEndian: Bool
  private let start: Checksum

  /// Throws for a log whose database is not there: it would be taken for that of whatever comes in its place.
  static func checkIsNotAlone(_ database: String) throws(NodeError) {
    let log = path(of: database)
    guard FileCopy.size(database) ?? 0 > 0 || FileCopy.size(log) ?? 0 == 0 else { throw .logWithoutDatabase(path: log) }
  }

  /// Throws where commits were lost.
  static func check(_ database: String) throws(NodeError) {
    let lost = try lostCommits(of: database)
    guard lost == 0 else { throw .damagedLog(path: database, commits: lost) }
  }

  /// Commits that SQLite will not see, for the sake of a frame before them. 0 where there is no log. Also while a node writes it.
  static func lostCommits(of database: String) throws(NodeError) -> Int {
    for _ in 0..<5 {
      let before = try lostCommitsNow(of: database)
      let after = before.lost == 0 ? before : try lostCommitsNow(of: database)
      // A log that was begun anew meanwhile has other salts, and what was read of it is of two logs.
      if before.salts == after.salts { return min(before.lost, after.lost) }
    }
    return 0
  }

  private static func lostCommitsNow(of database: String) throws(NodeError) -> (lost: Int, salts: UInt64?) {
    let path = path(of: database)
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
    guard descriptor >= 0 else {
      if errno == ENOENT { return (0, nil) }
      throw FileCopy.failure(path)
    }
    defer { close(descriptor) }
    guard let log = WriteAheadLog(descriptor, size: FileCopy.size(path) ?? 0) else { return (0, nil) }
    return (log.lostCommits(), log.salts)
  }

  /// `nil` for what is no log: it is empty, or its header was being written. A header that the disk damaged looks the same.
  private init?(_ descriptor: Int32, size: Int) {
    guard let header = Self.read(descriptor, at: 0, count: Self.headerSize) else { return nil }
    let magic = Self.word(header, 0)
    guard magic & ~1 == Self.magic else { return nil }
    isBigEndian = magic & 1 == 1
    var checksum = Checksum()
    checksum.add(header[..<24], isBigEndian: isBigEndian)
    let pageSize = Int(Self.word(header, 8))
    guard checksum == Checksum(header[24...]), (512...65_536).contains(pageSize) else { return nil }
    (self.descriptor, self.size, self.pageSize, start) = (descriptor, size, pageSize, checksum)
    salts = Self.salts(header[16...])
  }

  private func lostCommits() -> Int {
    var checksum = start
    var isWhole = true
    /// What the frame before has as its own checksum, if it ended a commit.
    var commit: Checksum?
    var lost = 0
    var commits = 0
    let frameSize = Self.frameHeaderSize + pageSize
    for offset in stride(from: Self.headerSize, through: size - frameSize, by: frameSize) {
      guard let frame = Self.read(descriptor, at: offset, count: frameSize) else { break }
      if isWhole {
        add(frame, to: &checksum)
        isWhole = Self.salts(frame[8...]) == salts && checksum == Checksum(frame[16...])
        if isWhole { continue }
      }
      if var follower = commit {
        add(frame, to: &follower)
        if follower == Checksum(frame[16...]) { lost = commits }
      }
      commit = nil
      guard Self.salts(frame[8...]) == salts, Self.word(frame, 4) != 0 else { continue }
      commits += 1
      commit = Checksum(frame[16...])
    }
    return lost
  }

  private func add(_ frame: [UInt8], to checksum: inout Checksum) {
    checksum.add(frame[..<8], isBigEndian: isBigEndian)
    checksum.add(frame[Self.frameHeaderSize...], isBigEndian: isBigEndian)
  }

  private static func read(_ descriptor: Int32, at offset: Int, count: Int) -> [UInt8]? {
    var bytes = [UInt8](repeating: 0, count: count)
    return pread(descriptor, &bytes, count, off_t(offset)) == count ? bytes : nil
  }

  private static func word(_ bytes: [UInt8], _ offset: Int) -> UInt32 {
    bytes[offset..<offset + 4].reduce(0) { $0 << 8 | UInt32($1) }
  }

  private static func salts(_ bytes: ArraySlice<UInt8>) -> UInt64 { bytes.prefix(8).reduce(0) { $0 << 8 | UInt64($1) } }

  /// Of everything from the log's beginning on.
  private struct Checksum: Equatable {
    private var first: UInt32 = 0
    private var second: UInt32 = 0

    init() {}

    /// As it stands in a header.
    init(_ bytes: ArraySlice<UInt8>) {
      first = bytes.prefix(4).reduce(0) { $0 << 8 | UInt32($1) }
      second = bytes.dropFirst(4).prefix(4).reduce(0) { $0 << 8 | UInt32($1) }
    }

    /// Takes pairs of words.
    mutating func add(_ bytes: ArraySlice<UInt8>, isBigEndian: Bool) {
      bytes.withUnsafeBytes { raw in
        for offset in stride(from: 0, to: raw.count - 7, by: 8) {
          let pair = (
            raw.loadUnaligned(fromByteOffset: offset, as: UInt32.self),
            raw.loadUnaligned(fromByteOffset: offset + 4, as: UInt32.self)
          )
          first &+= (isBigEndian ? UInt32(bigEndian: pair.0) : UInt32(littleEndian: pair.0)) &+ second
          second &+= (isBigEndian ? UInt32(bigEndian: pair.1) : UInt32(littleEndian: pair.1)) &+ first
        }
      }
    }
  }
}
