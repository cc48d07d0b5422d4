import DWN
import Foundation
import Identity
import Wire

@testable import DWNNode

#if canImport(Glibc)
  import Glibc
#endif

/// What a node said to the outside before it was killed, a line each, in a file: what `write(2)` took outlives its process.
struct CrashJournal: Sendable {
  enum Line: Hashable, Sendable {
    /// The node acknowledged a message.
    case acknowledged(Acknowledged)
    /// Whoever follows the feed was told of a message at this position.
    case announced(tenant: DID, position: Int64, cid: String)
    /// What the node should have taken.
    case refused(tenant: DID, reason: String)
  }

  struct Acknowledged: Hashable, Sendable {
    var tenant: DID
    var cid: String
    var record: RecordID
    var parent: RecordID?
    var timestamp: WallTime
  }

  let path: String
  private let descriptor: Int32

  /// For who writes it. The file is there from then on.
  init(writing path: String) throws {
    self.path = path
    descriptor = Glibc.open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw CocoaError(.fileWriteUnknown) }
  }

  func write(_ line: Line) {
    let text =
      switch line {
      case .acknowledged(let message):
        "acknowledged \(message.tenant) \(message.cid) \(message.record) \(message.parent?.text ?? "-") \(message.timestamp.timestamp)\n"
      case .announced(let tenant, let position, let cid): "announced \(tenant) \(position) \(cid)\n"
      case .refused(let tenant, let reason): "refused \(tenant) \(reason)\n"
      }
    let bytes = Array(text.utf8)
    // One call for one line, so that lines of two threads do not mix, and none is there by half.
    precondition(Glibc.write(descriptor, bytes, bytes.count) == bytes.count)
  }

  /// Whole lines of a journal, as its writer left it.
  static func lines(of path: String) throws -> [Line] {
    let text = String(decoding: try Data(contentsOf: URL(fileURLWithPath: path)), as: UTF8.self)
    return text.split(separator: "\n").compactMap { line in
      let words = line.split(separator: " ").map(String.init)
      guard words.count > 1, let tenant = DID(words[1]) else { return nil }
      switch (words[0], words.count) {
      case ("announced", 4): return Int64(words[2]).map { .announced(tenant: tenant, position: $0, cid: words[3]) }
      case ("acknowledged", 6):
        guard let record = RecordID(words[3]), let time = WallTime(timestamp: words[5]) else { return nil }
        return .acknowledged(
          Acknowledged(tenant: tenant, cid: words[2], record: record, parent: RecordID(words[4]), timestamp: time))
      case ("refused", _): return .refused(tenant: tenant, reason: words[2...].joined(separator: " "))
      default: return nil
      }
    }
  }

  /// In bytes.
  static func length(of path: String) -> Int {
    var status = stat()
    return stat(path, &status) == 0 ? Int(status.st_size) : 0
  }
}
