import Cryptography
import Foundation
import Glibc
import Wire

/// Where one of several tunnels over the same wire lies.
struct TunnelPlace {
  let number: Int

  var port: UInt16 { UInt16(51820 + number) }
  var block: String { "100.64.\(number).0/24" }

  func address(_ end: Int) -> String { "100.64.\(number).\(end + 1)" }

  /// Where the end's program listens on the wire.
  func endpoint(_ end: Int) -> String { "\(NamespacePair.wire[end]):\(port)" }

  /// The control sockets of other programs lie in one folder for all namespaces, so the name tells the process too.
  func interface(_ end: Int) -> String { "mb\(getpid())t\(number)\(["a", "b"][end])" }
}

/// A tunnel between the two namespaces that carries packets, with a program at each end.
struct RunningTunnel {
  let place: TunnelPlace
  /// The public keys of the two ends.
  let keys: [X25519PublicKey]
  private let ends: [ChildProcess]

  /// Where the far end is reached through it.
  var farAddress: String { place.address(1) }
  var pids: [pid_t] { ends.map(\.pid) }

  func stop() {
    for end in ends { end.stop() }
  }

  /// What an end of ours says of itself: `late=…`, its offloads, and what it dropped, by reason.
  func status(_ end: Int) throws -> [String: String] {
    var values: [String: String] = [:]
    for word in try ends[end].ask("status").split(separator: " ") {
      let parts = word.split(separator: "=", maxSplits: 1)
      if parts.count == 2 { values[String(parts[0])] = String(parts[1]) }
    }
    return values
  }

  /// What may be asked of our own ends.
  struct Options {
    var peers = 1
    var without = "none"
    var threads = 1
    var isCipherless = false
    /// The only way to each other, as `address#pin`.
    var relay: String?
  }

  /// Ours.
  static func ours(
    _ lab: NamespacePair, _ number: Int, mtu: Int, _ options: Options = Options()
  ) throws -> RunningTunnel {
    let place = TunnelPlace(number: number)
    let ends = try (0...1).map { end in
      var command = [
        CommandLine.arguments[0], "engine-end", "--namespace", lab.names[end], "--interface", place.interface(end),
        "--mtu", "\(mtu)", "--tunnel", "\(number)", "--end", "\(end)", "--peers", "\(options.peers)", "--without",
        options.without, "--threads", "\(options.threads)",
      ]
      if options.isCipherless { command.append("--cipherless") }
      guard let relay = options.relay else { return try ChildProcess(command, isTalking: true) }
      // The whole process in the namespace: a connection with a relay is made by a thread of any kind.
      return try ChildProcess(lab.inside(end, command + ["--relay", relay]), isTalking: true)
    }
    let keys = try ends.map { try $0.hear() }
    for (end, process) in ends.enumerated() {
      guard try process.ask(keys[1 - end]) == "ready" else { throw BenchmarkFailure(reason: "an engine did not start") }
    }
    let tunnel = RunningTunnel(
      place: place, keys: keys.compactMap { X25519PublicKey(base64: $0.prefix { $0 != " " }) }, ends: ends)
    try lab.awaitAnswer(from: tunnel.farAddress)
    return tunnel
  }

  /// Another program that is started as `path -f INTERFACE` and configured with `wg`. `peers` of it are there in all.
  static func foreign(
    _ path: String, _ lab: NamespacePair, _ number: Int, mtu: Int, peers: Int = 1
  ) throws -> RunningTunnel {
    let place = TunnelPlace(number: number)
    let keys = (0...1).map { _ in X25519PrivateKey(random: SystemRandom()) }
    let ends = try (0...1).map { try ChildProcess(lab.inside($0, [path, "-f", place.interface($0)])) }
    for end in 0...1 {
      let interface = place.interface(end)
      var lines = [
        "[Interface]", "PrivateKey = \(Base64.encode(keys[end].bytes.copy(), .standard))",
        "ListenPort = \(place.port)", "[Peer]", "PublicKey = \(keys[1 - end].publicKey.base64)",
        "AllowedIPs = \(place.address(1 - end))/32", "Endpoint = \(place.endpoint(1 - end))",
      ]
      for peer in 1..<max(peers, 1) {
        lines += [
          "[Peer]", "PublicKey = \(X25519PrivateKey(random: SystemRandom()).publicKey.base64)",
          "AllowedIPs = \(IPAddress(v4: 0x6470_0000 + UInt32(peer)))/32",
        ]
      }
      let file = FileManager.default.temporaryDirectory.appendingPathComponent("\(interface).conf")
      _ = FileManager.default.createFile(
        atPath: file.path, contents: Data((lines.joined(separator: "\n") + "\n").utf8),
        attributes: [.posixPermissions: 0o600])
      defer { try? FileManager.default.removeItem(at: file) }
      for _ in 0..<100 where (try? lab.run(end, ["wg", "show", interface])) == nil { usleep(50_000) }
      try lab.run(end, ["wg", "setconf", interface, file.path])
      try lab.run(end, ["ip", "address", "add", "\(place.address(end))/32", "dev", interface])
      try lab.run(end, ["ip", "link", "set", interface, "mtu", "\(mtu)", "up"])
      try lab.run(end, ["ip", "route", "add", place.block, "dev", interface])
    }
    let tunnel = RunningTunnel(place: place, keys: keys.map(\.publicKey), ends: ends)
    try lab.awaitAnswer(from: tunnel.farAddress)
    return tunnel
  }
}
