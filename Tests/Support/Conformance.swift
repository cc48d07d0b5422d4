public import Wire

/// The DWN's conformance files as their manifests list them: tests find their files by what they assert, so that a file that is added
/// to a manifest is tested from then on.
public enum Conformance {
  public struct File: Hashable, Sendable {
    /// For `Fixtures.json`.
    public let path: String
    public let assertions: [String]
  }

  private static let manifests = [
    ("dwn/manifest.json", "suites", "dwn/"), ("dwn/spec/manifest.json", "sets", "dwn/spec/"),
  ]

  /// Whether the manifests are there.
  public static let isHere = manifests.allSatisfy { Fixtures.have($0.0) }

  public static let files: [File] = manifests.flatMap { path, member, folder -> [File] in
    ((try? Fixtures.json(path))?[member]?.array ?? []).compactMap { entry in
      entry["path"]?.string.map {
        File(path: folder + $0, assertions: (entry["assertions"]?.array ?? []).compactMap(\.string))
      }
    }
  }

  public static func paths(asserting assertion: String) -> [String] {
    files.filter { $0.assertions.contains(assertion) }.map(\.path)
  }

  /// The cases of all files that assert something.
  public static func cases(asserting assertion: String) -> [JSONValue] {
    paths(asserting: assertion).flatMap { (try? Fixtures.json($0))?["cases"]?.array ?? [] }
  }
}
