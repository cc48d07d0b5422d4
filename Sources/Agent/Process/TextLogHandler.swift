import Glibc
public import Logging
import Wire

/// Log lines as `time=… level=INFO msg="…" key=value`, one write each, to standard error, or to the log of a background daemon.
public struct TextLogHandler: LogHandler {
  public var logLevel: Logger.Level = .info
  public var metadata: Logger.Metadata = [:]
  private let label: String
  private let file: LogFile?

  /// - Parameter file: `nil` for standard error, wherever that leads.
  public init(label: String, file: LogFile? = nil) {
    self.label = label
    self.file = file
  }

  public subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  public func log(event: LogEvent) {
    let stamp = WallTime.now().timestamp
    var line = "time=\(stamp.prefix(23))Z level=\(Self.name(event.level)) msg=\(Self.quoted("\(event.message)"))"
    let all = metadata.merging(event.metadata ?? [:]) { _, new in new }
    for (key, value) in all.sorted(by: { $0.key < $1.key }) { line += " \(key)=\(Self.plainOrQuoted("\(value)"))" }
    if label != "meshd" { line += " source=\(label)" }
    let bytes = Array((line + "\n").utf8)
    if let file { file.write(bytes) } else { _ = write(STDERR_FILENO, bytes, bytes.count) }
  }

  private static func name(_ level: Logger.Level) -> String {
    switch level {
    case .trace, .debug: "DEBUG"
    case .info, .notice: "INFO"
    case .warning: "WARN"
    case .error, .critical: "ERROR"
    }
  }

  /// What others send ends up in logs: control characters and quotes are escaped, so that one event stays one line.
  private static func quoted(_ text: String) -> String { JSONValue.string(text).text }

  private static func plainOrQuoted(_ text: String) -> String {
    let isPlain = !text.isEmpty && text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f && $0 != 0x22 && $0 != 0x3d }
    return isPlain ? text : quoted(text)
  }
}
