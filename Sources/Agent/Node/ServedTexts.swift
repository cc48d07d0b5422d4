import DWNClient
import Foundation
import Glibc

/// What `meshd dwn serve` tells others in its operator's words. Throws `AgentError.badArgument` for what nobody could use.
public enum ServedTexts {
  static let termsLimit = 1 << 20

  /// The terms of service in a file, as whoever registers reads them.
  public static func terms(at path: String) throws(AgentError) -> String {
    guard let file = fopen(path, "re") else {
      throw .badArgument("the terms \(path) cannot be read: \(StateDirectory.errnoText())")
    }
    defer { fclose(file) }
    var bytes = [UInt8](repeating: 0, count: termsLimit + 1)
    let count = fread(&bytes, 1, bytes.count, file)
    guard ferror(file) == 0 else { throw .badArgument("the terms \(path) cannot be read") }
    guard count <= termsLimit else { throw .badArgument("the terms \(path) are longer than \(termsLimit) bytes") }
    guard let text = String(validating: bytes[..<count], as: UTF8.self), !text.unicodeScalars.contains(where: steers)
    else { throw .badArgument("the terms \(path) are no text (UTF-8)") }
    guard text.contains(where: { !$0.isWhitespace }) else { throw .badArgument("the terms \(path) are empty") }
    return text
  }

  /// Where a node is reached from outside.
  public static func check(publicURL: String) throws(AgentError) {
    do { _ = try EndpointURL(publicURL) } catch { throw .badArgument("\(error)") }
  }

  private static func steers(_ scalar: Unicode.Scalar) -> Bool {
    scalar.properties.generalCategory == .control && !"\t\n\r\u{c}".unicodeScalars.contains(scalar)
  }
}
