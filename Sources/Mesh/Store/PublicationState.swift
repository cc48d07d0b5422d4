/// How far the publication of one message to one endpoint has come.
public enum PublicationState: Hashable, Sendable {
  /// To be sent, or sent without an answer.
  case pending
  /// The node has it, or has what replaces it.
  case done
  /// The node will never take it; it is not sent again.
  case refused(status: Int, detail: String)

  /// A spelling for storage; `init(text:)` reads it back.
  public var text: String {
    switch self {
    case .pending: "pending"
    case .done: "done"
    case .refused(let status, let detail): "refused \(status) \(detail)"
    }
  }

  public init?(text: String) {
    switch text {
    case "pending": self = .pending
    case "done": self = .done
    default:
      let parts = text.split(separator: " ", maxSplits: 2, omittingEmptySubsequences: false)
      guard parts.count == 3, parts[0] == "refused", let status = Int(parts[1]) else { return nil }
      self = .refused(status: status, detail: String(parts[2]))
    }
  }
}
