import DWN
import Mesh
import Synchronization
import Wire

/// How much one fetch takes from a node, over all its queries and their pages, whether it says something new or not: what a network
/// can have, with room to spare. A node that shows more is not read to its end.
final class FetchBudget: Sendable {
  /// A network has 20,000 live records at most, and the anchor asks for a key for each machine besides.
  static let entryLimit = 2 * MeshReader.recordLimit + 1_000
  /// Bytes of JSON and of data. A record with what belongs to it takes 2 to 4 KiB.
  static let sizeLimit = 96 << 20

  /// For what machines write of themselves at one path. Their node lets a member write much more than a machine has to say: that may
  /// take the place of what others wrote there before, but of nothing that the anchor wrote.
  static func ofOwnRecords() -> FetchBudget { FetchBudget(entries: MeshReader.recordLimit, bytes: 24 << 20) }

  private struct Left: Sendable {
    var entries: Int
    var bytes: Int
    var isSpent: Bool { entries < 0 || bytes < 0 }
  }

  private let left: Mutex<Left>

  init(entries: Int = entryLimit, bytes: Int = sizeLimit) {
    left = Mutex(Left(entries: entries, bytes: bytes))
  }

  /// Whether a node went beyond it: then it is asked for nothing more.
  var isSpent: Bool { left.withLock { $0.isSpent } }

  /// Returns whether these are still within it.
  func take(_ entries: [ReplyEntry]) -> Bool {
    let size = entries.reduce(0) { $0 + $1.size }
    return left.withLock { left in
      left.entries -= entries.count
      left.bytes -= size
      return !left.isSpent
    }
  }
}

extension ReplyEntry {
  fileprivate var size: Int { message.size + (data?.count ?? 0) + (initialWrite?.size ?? 0) }
}

extension JSONValue {
  /// About the bytes of its text.
  fileprivate var size: Int {
    switch self {
    case .null, .bool, .integer, .number: 8
    case .string(let text): text.utf8.count + 2
    case .array(let elements): elements.reduce(2) { $0 + $1.size + 1 }
    case .object(let object): object.members.reduce(2) { $0 + $1.name.utf8.count + $1.value.size + 4 }
    }
  }
}
