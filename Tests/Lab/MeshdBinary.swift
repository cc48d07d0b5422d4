import Foundation
import Glibc

/// The program under test: `MESHD_BIN`, else the debug build that the tests themselves come from.
enum MeshdBinary {
  static let url: URL = {
    if let named = ProcessInfo.processInfo.environment["MESHD_BIN"] { return URL(fileURLWithPath: named) }
    return URL(fileURLWithPath: #filePath)
      .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
      .appendingPathComponent(".build/debug/meshd")
  }()

  /// Why the program cannot be tried here, or `nil` if it can.
  static let obstacle: String? = {
    if let obstacle = NetworkLab.obstacle { return obstacle }
    for tool in ["iperf3", "nft", "setpriv", "unshare", "mount", "openssl"] where !NetworkLab.have(tool) {
      return "the lab needs the command \(tool): run scripts/setup"
    }
    if access(url.path, X_OK) != 0 {
      return "there is no program \(url.path): run 'swift build', or name one in MESHD_BIN"
    }
    return nil
  }()
}
