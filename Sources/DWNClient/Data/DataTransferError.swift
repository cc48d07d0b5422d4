public import DWN

/// Why data of a record did not get across.
public enum DataTransferError: Error, Hashable, Sendable, CustomStringConvertible {
  case endpoint(EndpointError)
  case file(path: String, reason: String)
  /// What was to be sent is not what the record says: nothing of it counts at the node.
  case changed(reason: String)
  /// What came is not what the record says: nothing of it is to be used.
  case mismatch(name: String, reason: String)

  public var description: String {
    switch self {
    case .endpoint(let error): error.description
    case .file(let path, let reason): "\(path): \(reason)"
    case .changed(let reason): "the data is not what was signed: \(reason)"
    case .mismatch(let name, let reason): "\(name) shows other data than the record's: \(reason)"
    }
  }
}
