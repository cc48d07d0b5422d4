import Cryptography
import Foundation
import Wire

/// Debian's `wireguard-go` in a namespace, configured with `wg`: the other implementation that ours must agree with.
struct WireGuardGoPeer {
  /// Why there can be none here, or `nil`.
  static let obstacle: String? =
    NetworkLab.obstacle
    ?? ["wireguard-go", "wg", "iperf3"].first { !NetworkLab.have($0) }.map { "this test needs the command \($0)" }

  let namespace: NetworkNamespace
  let interface: String
  let key: X25519PrivateKey

  /// Starts it with a new key and gives it addresses of the tunnel.
  static func start(
    in namespace: NetworkNamespace, of lab: NetworkLab, port: UInt16, addresses: [String]
  ) async throws -> WireGuardGoPeer {
    // Its control sockets lie in one folder for all namespaces, so the name carries the lab's tag.
    let interface = "w\(lab.tag)\(namespace.label)"
    precondition(interface.utf8.count <= 15, "the label \(namespace.label) is too long for an interface's name")
    let key = X25519PrivateKey(random: SystemRandom())
    let keyFile = lab.folder.appendingPathComponent("\(interface).key")
    let encoded = Base64.encode(key.bytes.copy(), .standard) + "\n"
    guard
      FileManager.default.createFile(
        atPath: keyFile.path, contents: Data(encoded.utf8), attributes: [.posixPermissions: 0o600])
    else { throw CocoaError(.fileWriteUnknown) }
    let process = try await lab.start(["wireguard-go", "-f", interface], in: namespace)
    let isUp = try await eventually(.seconds(10)) {
      try await namespace.attempt(["wg", "show", interface]).succeeded
    }
    guard isUp else {
      throw CommandFailure(
        namespace: namespace.label, command: ["wireguard-go", "-f", interface],
        outcome: .init(status: 1, output: process.output, errors: "it did not come up within 10 s"))
    }
    try await namespace.run("wg", "set", interface, "private-key", keyFile.path, "listen-port", "\(port)")
    for address in addresses { try await namespace.addAddress(address, to: interface) }
    try await namespace.run("ip", "link", "set", interface, "mtu", "1280", "up")
    return WireGuardGoPeer(namespace: namespace, interface: interface, key: key)
  }

  /// Tells it of a peer, and routes what the peer may send from into the tunnel.
  func add(peer: X25519PublicKey, allowedIPs: [IPPrefix], endpoint: SocketAddress?) async throws {
    var command = ["wg", "set", interface, "peer", peer.base64]
    command += ["allowed-ips", allowedIPs.map(\.description).joined(separator: ",")]
    if let endpoint { command += ["endpoint", endpoint.description] }
    try await namespace.run(command)
    for prefix in allowedIPs {
      try await namespace.run(
        "ip", prefix.family == .v4 ? "-4" : "-6", "route", "add", prefix.description, "dev", interface)
    }
  }

  /// The time of its last handshake with the peer, in seconds since 1970; 0: never.
  func latestHandshake(with peer: X25519PublicKey) async throws -> Int {
    for line in try await namespace.run("wg", "show", interface, "latest-handshakes").split(separator: "\n") {
      let columns = line.split(separator: "\t")
      if columns.count == 2, columns[0] == peer.base64 { return Int(columns[1]) ?? 0 }
    }
    return 0
  }
}
