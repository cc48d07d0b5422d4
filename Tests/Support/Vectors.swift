public import Wire

/// A vector file has not what a test reads from it.
public struct NotInVectors: Error, CustomStringConvertible {
  public let description: String
}

/// Members of a vector file that must be there.
extension JSONValue {
  public func text(_ name: String) throws -> String {
    guard let text = self[name]?.string else { throw NotInVectors(description: "no text \(name)") }
    return text
  }

  /// Never empty.
  public func list(_ name: String) throws -> [JSONValue] {
    guard let list = self[name]?.array, !list.isEmpty else { throw NotInVectors(description: "no list \(name)") }
    return list
  }

  /// From hex.
  public func bytes(_ name: String) throws -> [UInt8] {
    guard let bytes = Hex.decode(try text(name)) else { throw NotInVectors(description: "\(name) is not hex") }
    return bytes
  }
}
