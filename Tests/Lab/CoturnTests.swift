import Foundation
import Testing
import Wire

/// STUN with `coturn`, in both roles.
@Suite(
  "STUN with a program of others",
  .enabled(
    if: NetworkLab.obstacle == nil && NetworkLab.have("turnserver"),
    "\(NetworkLab.obstacle ?? "turnserver is not installed: run scripts/setup")"))
struct CoturnTests {
  private func withHosts(_ body: (NetworkLab, _ client: MeshdHost, _ server: MeshdHost) async throws -> Void)
    async throws
  {
    try await NetworkLab.run { lab in
      let (client, server) = (try await lab.namespace("client"), try await lab.namespace("server"))
      _ = try await lab.connect(client, ["198.51.100.1/24"], server, ["198.51.100.2/24"])
      try await body(lab, try MeshdHost(client, in: lab.folder), try MeshdHost(server, in: lab.folder))
    }
  }

  @Test("its client learns its address from our relay, on both ports")
  func theirClient() async throws {
    try await withHosts { lab, client, server in
      let data = server.home.appendingPathComponent("relay").path
      _ = try await lab.start(
        server.typed(["meshd", "relay", "serve", "--open", "--listen", "198.51.100.2:8788", "--data", data]),
        in: server.namespace)
      for port in ["8788", "8789"] {
        let isAnswered = try await eventually(.seconds(30)) {
          let outcome = try await client.namespace.attempt(
            ["timeout", "5", "turnutils_stunclient", "-p", port, "198.51.100.2"])
          return outcome.output.contains("reflexive addr: 198.51.100.1:")
        }
        #expect(isAnswered, "port \(port)")
      }
    }
  }

  @Test("our daemon learns its address from its server")
  func theirServer() async throws {
    try await withHosts { lab, client, server in
      _ = try await lab.start(
        [
          "turnserver", "-n", "--stun-only", "--no-tls", "--no-dtls", "--no-cli", "--listening-ip", "198.51.100.2",
          "--log-file", "stdout", "--pidfile", server.home.appendingPathComponent("turnserver.pid").path,
        ], in: server.namespace)
      try await client.meshd("init")
      try await client.meshd("up", "--create", "home", "--stun", "198.51.100.2:3478")
      let isSeen = try await eventually(.seconds(30)) {
        let check = try await client.json("netcheck")
        return check["udp"]?.bool == true && check["globalV4"]?.string?.hasPrefix("198.51.100.1:") == true
      }
      #expect(isSeen)
      try await client.meshd("down")
    }
  }
}
