import DWN
import Mesh

/// Every node refused a message for good: what was decided does not reach anybody.
public struct PublicationRefused: Error, Hashable, Sendable, CustomStringConvertible {
  /// One of the nodes, and what it said.
  public let endpoint: String
  /// Which kind of message.
  public let path: String
  public let status: Int
  public let detail: String
  /// Whether it is as if it had not been decided; if not, it stands in the ledger alone.
  public let isWithdrawn: Bool

  public var description: String {
    "\(endpoint) refuses \(path) for good: \(status) \(detail)" + (isWithdrawn ? ". It was taken back" : "")
  }
}

extension AuthoredMessage {
  /// What kind of message it is, for people.
  var place: String { write?.path.text ?? signed.message.kind.rawValue }
}
