public import Wire

/// What `meshd doctor` found out about one thing.
public struct Finding: Hashable, Sendable {
  public enum Level: String, Hashable, Sendable {
    case ok
    /// Good to know.
    case info
    /// It works, and not as well as it could, or not for long.
    case warn
    /// It does not work.
    case fail
  }

  public var level: Level
  public var title: String
  public var detail: String?
  /// What a person can do.
  public var next: String?

  public init(_ level: Level, _ title: String, detail: String? = nil, next: String? = nil) {
    self.level = level
    self.title = title
    self.detail = detail
    self.next = next
  }

  public var json: JSONValue {
    var object: JSONObject = ["level": .string(level.rawValue), "title": .string(title)]
    object["detail"] = detail.map { .string($0) }
    object["next"] = next.map { .string($0) }
    return .object(object)
  }
}

/// What all findings together come to.
public enum Verdict: String, Hashable, Sendable {
  case ready
  case warnings
  case issues

  public init(_ findings: [Finding]) {
    if findings.contains(where: { $0.level == .fail }) {
      self = .issues
    } else {
      self = findings.contains { $0.level == .warn } ? .warnings : .ready
    }
  }
}
