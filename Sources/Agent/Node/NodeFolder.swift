import DWNNode
import Foundation

/// The folder in which a node keeps its records: that of `meshd dwn serve --data`, or the state directory of a machine with a node in
/// its daemon.
public struct NodeFolder: Sendable {
  public let path: String
  public var databasePath: String { path + "/" + EmbeddedNode.file }

  /// Looks at nothing.
  public init(_ path: String) {
    self.path = path.hasPrefix("/") ? path : FileManager.default.currentDirectoryPath + "/" + path
  }

  /// Does something that no node may be running for, making the folder if it is not there.
  public func alone<Result>(_ body: (_ databasePath: String) async throws -> Result) async throws -> Result {
    let directory = try StateDirectory(opening: path)
    guard let lock = try DaemonLock(directory) else { throw directory.heldByAnother }
    defer { withExtendedLifetime(lock) {} }
    return try await body(directory.file(EmbeddedNode.file))
  }
}
