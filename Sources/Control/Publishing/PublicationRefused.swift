import DWN
import Mesh

/// Nodes refused a message for good: what was decided does not reach anybody.
public struct PublicationRefused: Error, Hashable, Sendable, CustomStringConvertible {
  /// What became of it.
  public enum Outcome: Hashable, Sendable {
    /// It is as if it had not been decided.
    case withdrawn
    /// It stands in the ledger.
    case stands
    /// It stands, and no head gets out, since every node that answers has refused something. These do not answer; if they have not for
    /// an hour, it may be taken back.
    case waits(silent: [String], isTakenBack: Bool)
  }

  /// One of the nodes, and what it said.
  public let endpoint: String
  /// Which kind of message.
  public let path: String
  public let status: Int
  public let detail: String
  public internal(set) var outcome: Outcome

  public var description: String {
    let refusal = "\(endpoint) refuses \(path) for good: \(status) \(detail)"
    switch outcome {
    case .withdrawn: return refusal + ". It was taken back"
    case .stands: return refusal
    case .waits(let silent, let isTakenBack):
      var text = refusal + ". No head goes there until it takes that, "
      text += "and without one the others accept nothing that was decided since. "
      text += "Have whoever runs that node see to it: the daemon offers it again every five minutes"
      if silent.isEmpty { return text }
      text += "; or bring back \(silent.joined(separator: ", ")), which \(silent.count == 1 ? "does" : "do") not answer"
      if isTakenBack { text += ": after an hour without a word from there, what was refused is taken back" }
      return text
    }
  }
}

extension AuthoredMessage {
  /// What kind of message it is, for people.
  var place: String { write?.path.text ?? signed.message.kind.rawValue }
}
