/// Why a message was refused, as a node tells it: a status, a code of the protocol and a text for people.
public struct DWNError: Error, Hashable, Sendable, CustomStringConvertible {
  /// 400 malformed or against the rules, 401 not authenticated or not authorized, 404, 409, 410, 413, 429, 501, 503, 507.
  public let status: Int
  /// A code of the DWN's index, such as `RecordsWriteDataCidMismatch`.
  public let code: String
  public let text: String

  public init(_ status: Int, _ code: String, _ text: String) {
    self.status = status
    self.code = code
    self.text = text
  }

  /// `Code: text`, the form of `status.detail`.
  public var description: String { "\(code): \(text)" }
}
