/// The data of a message on its way into the store or out of it: in memory while it is small, else in a file.
enum MessageData: Sendable {
  case bytes([UInt8])
  case file(DataFile)

  var size: Int {
    switch self {
    case .bytes(let bytes): bytes.count
    case .file(let file): file.size
    }
  }

  /// A part of it. The range lies within the size.
  func read(_ range: Range<Int>) throws -> [UInt8] {
    switch self {
    case .bytes(let bytes): Array(bytes[range])
    case .file(let file): try file.read(range)
    }
  }

  /// All of it in memory.
  func bytes() throws -> [UInt8] {
    switch self {
    case .bytes(let bytes): bytes
    case .file(let file): try file.read(0..<file.size)
    }
  }
}
