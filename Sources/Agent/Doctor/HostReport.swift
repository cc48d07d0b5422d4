import Foundation
import Glibc

/// What a state directory and this machine look like to whoever wants to run a daemon: all that is looked at besides `status` and
/// `netcheck`. Nothing is changed.
public struct HostReport: Hashable, Sendable {
  public var path: String
  public var exists = false
  /// The folder, and files in it, that others than the owner may read or write.
  public var exposed: [String] = []
  /// Whether a TUN device can be made.
  public var hasTUN = false
  /// Whether this user may make interfaces and routes.
  public var mayConfigure = false

  public init(path: String) { self.path = path }

  /// Files of which nobody but the owner may know what they hold.
  private static let secrets = [
    StateDirectory.discoKeyFile, "identity.json", "network.json", "mesh.sqlite", "dwn.sqlite", "relay.key",
  ]

  public init(lookingAt path: String) {
    self.path = path
    var info = stat()
    exists = stat(path, &info) == 0
    for name in [""] + Self.secrets {
      let file = name.isEmpty ? path : "\(path)/\(name)"
      if stat(file, &info) == 0, info.st_mode & 0o077 != 0 { exposed.append(file) }
    }
    hasTUN = access("/dev/net/tun", R_OK | W_OK) == 0
    mayConfigure = Self.hasNetworkCapability
  }

  /// CAP_NET_ADMIN, number 12, among the effective capabilities.
  private static var hasNetworkCapability: Bool {
    guard let status = try? String(contentsOfFile: "/proc/self/status", encoding: .utf8),
      let line = status.split(separator: "\n").first(where: { $0.hasPrefix("CapEff:") }),
      let mask = UInt64(line.dropFirst("CapEff:".count).trimmingCharacters(in: .whitespaces), radix: 16)
    else { return geteuid() == 0 }
    return mask & 1 << 12 != 0
  }
}
