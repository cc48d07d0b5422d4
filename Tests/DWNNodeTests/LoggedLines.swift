import Logging
import Synchronization

/// Keeps what is logged.
final class LoggedLines: Sendable {
  typealias Line = (text: String, metadata: Logger.Metadata)

  private struct Handler: LogHandler {
    let lines: LoggedLines
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.info

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
      get { metadata[key] }
      set { metadata[key] = newValue }
    }

    func log(event: LogEvent) { lines.lines.withLock { $0.append(("\(event.message)", event.metadata ?? [:])) } }
  }

  private let lines = Mutex<[Line]>([])

  var log: Logger { Logger(label: "test", factory: { _ in Handler(lines: self) }) }

  /// What came since the last time.
  func take() -> [Line] {
    lines.withLock { lines in
      defer { lines = [] }
      return lines
    }
  }

  /// The text of a line, and of what it says beside that these members, which do not differ each time.
  static func text(_ line: Line) -> String {
    let parts = ["from", "method", "path", "kind", "status", "reason"].compactMap { line.metadata[$0].map { "\($0)" } }
    return ([line.text] + parts).joined(separator: " ")
  }
}
