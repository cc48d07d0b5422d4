public import Foundation
public import Wire

/// Test vectors from the shared folder (`../shared/fixtures` beside the project, or `MESHD_FIXTURES`), else the copies of the
/// generated ones in `Tests/Fixtures`.
public enum Fixtures {
  private static let projectRoot = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

  private static let roots: [URL] = {
    var roots: [URL] = []
    if let named = ProcessInfo.processInfo.environment["MESHD_FIXTURES"] {
      roots.append(URL(fileURLWithPath: named))
    } else {
      roots.append(projectRoot.deletingLastPathComponent().appendingPathComponent("shared/fixtures"))
    }
    roots.append(projectRoot.appendingPathComponent("Tests/Fixtures"))
    return roots
  }()

  /// Where the file is, or `nil` when no copy of it is at hand.
  public static func url(_ path: String) -> URL? {
    roots.map { $0.appendingPathComponent(path) }.first { FileManager.default.fileExists(atPath: $0.path) }
  }

  /// For `.enabled(if: Fixtures.have("mesh/identity.json"), "…")`.
  public static func have(_ path: String) -> Bool { url(path) != nil }

  public struct Missing: Error, CustomStringConvertible {
    public let path: String
    public var description: String { "no fixture \(path): set MESHD_FIXTURES to the folder that has it" }
  }

  /// The parsed file.
  public static func json(_ path: String) throws -> JSONValue {
    guard let url = url(path) else { throw Missing(path: path) }
    return try JSONValue(parsing: Array(try Data(contentsOf: url)), depth: 64)
  }

  public static let skipped = "skipped: the folder with the test vectors is missing (MESHD_FIXTURES names it)"
}
