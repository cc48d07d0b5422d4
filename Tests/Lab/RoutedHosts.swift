import Foundation
import Glibc

/// Machines with meshd in subnets of their own, and a router that joins them, IPv4 and IPv6.
struct RoutedHosts: Sendable {
  let lab: NetworkLab
  let router: NetworkNamespace
  let hosts: [MeshdHost]

  var first: MeshdHost { hosts[0] }
  var second: MeshdHost { hosts[1] }
  var third: MeshdHost { hosts[2] }

  static func addressV4(_ index: Int) -> String { "198.51.\(100 + index).2" }
  static func addressV6(_ index: Int) -> String { "2001:db8:\(index + 1)::2" }

  /// Runs `body` with `count` machines. Afterwards nothing runs on them and nothing is left of them. If `body` throws, the ends of
  /// the daemons' logs are printed.
  static func run(_ count: Int = 2, _ body: (RoutedHosts) async throws -> Void) async throws {
    try await NetworkLab.run { lab in
      let router = try await lab.namespace("router")
      try await router.enableForwarding()
      var hosts: [MeshdHost] = []
      for (index, label) in ["first", "second", "third"].prefix(count).enumerated() {
        let namespace = try await lab.namespace(label)
        let (v4, v6) = (addressV4(index), addressV6(index))
        let gatewayV4 = String(v4.dropLast()) + "1", gatewayV6 = String(v6.dropLast()) + "1"
        let cable = try await lab.connect(
          namespace, ["\(v4)/24", "\(v6)/64"], router, ["\(gatewayV4)/24", "\(gatewayV6)/64"])
        // Link-local addresses appear when they like; comparisons of a host's network would see them.
        try await namespace.run("ip", "-6", "address", "flush", "dev", cable.a, "scope", "link")
        try await namespace.run("ip", "link", "set", cable.a, "addrgenmode", "none")
        try await namespace.addRoute("default", via: gatewayV4)
        try await namespace.addRoute("default", via: gatewayV6)
        hosts.append(try MeshdHost(namespace, in: lab.folder))
      }
      let routed = RoutedHosts(lab: lab, router: router, hosts: hosts)
      do {
        try await body(routed)
        await uncancelled { await routed.endEverything() }
      } catch {
        for host in hosts { print(host.logTail) }
        await uncancelled { await routed.endEverything() }
        throw error
      }
    }
  }

  /// Ends what still runs on the machines: daemons are no children of the test, so the lab does not know them.
  private func endEverything() async {
    for host in hosts {
      for pid in (try? await host.processes()) ?? [] { kill(pid, SIGKILL) }
      _ = try? await eventually(.seconds(5)) { try await host.processes().isEmpty }
    }
  }

  /// `meshd dwn serve` on a host, from when it listens. Each port has records of its own.
  func serveNode(on host: MeshdHost, port: Int = 8787, _ flags: String...) async throws -> LabProcess {
    let records = host.home.path + (port == 8787 ? "/records" : "/records-\(port)")
    return try await lab.serve(
      host.typed(["meshd", "dwn", "serve", "--listen", "0.0.0.0:\(port)", "--data", records] + flags),
      in: host.namespace, onTCP: port)
  }

  /// From now on the router lets nobody reach a node's HTTP port; everything else still passes.
  func cutNodes() async throws {
    try await router.run("nft", "add", "table", "inet", "cut")
    try await router.run("nft", "add", "chain", "inet", "cut", "forward", "{ type filter hook forward priority 0; }")
    try await router.run("nft", "add", "rule", "inet", "cut", "forward", "tcp", "dport", "8787", "drop")
  }
}
