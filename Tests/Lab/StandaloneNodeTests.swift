import Foundation
import Glibc
import Testing
import Wire

extension MeshdLab {
  /// `meshd dwn serve` as a service manager runs it: with TLS, told of a renewed certificate, stopped, and killed.
  @Suite struct StandaloneNodeTests {
    private static let port = 8787

    private func certificate(_ host: MeshdHost, name: String) async throws {
      try await host.run([
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
        "-subj", "/CN=\(name)", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", host.home.path + "/key.pem",
        "-out", host.home.path + "/cert.pem",
      ])
    }

    /// Who the certificate in use says that it is for, as a client sees it.
    private func subject(_ host: MeshdHost) async throws -> String {
      try await host.run([
        "sh", "-c",
        "openssl s_client -connect 127.0.0.1:\(Self.port) </dev/null 2>/dev/null | openssl x509 -noout -subject",
      ])
    }

    private func start(_ routed: RoutedHosts, _ host: MeshdHost) async throws -> LabProcess {
      try await routed.lab.serve(
        host.typed([
          "meshd", "dwn", "serve", "--listen", "0.0.0.0:\(Self.port)", "--data", host.home.path + "/records", "--open",
          "--tls-cert", host.home.path + "/cert.pem", "--tls-key", host.home.path + "/key.pem",
        ]), in: host.namespace, onTCP: Self.port)
    }

    @Test("a node speaks TLS and plain HTTP on one port, and takes up a renewed certificate when it is told")
    func tls() async throws {
      try await RoutedHosts.run(1) { routed in
        let host = routed.first
        try await certificate(host, name: "before")
        let node = try await start(routed, host)
        for scheme in ["http", "https"] {
          let health = try await host.run([
            "curl", "-sS", "--max-time", "20", "--cacert", host.home.path + "/cert.pem",
            "\(scheme)://127.0.0.1:\(Self.port)/health",
          ])
          #expect(health == #"{"ok":true}"#)
        }
        #expect(try await subject(host).contains("before"))
        try await certificate(host, name: "after")
        node.signal(SIGHUP)
        let isRenewed = try await eventually(.seconds(20)) { try await subject(host).contains("after") }
        #expect(isRenewed, "\(node.output)")
        await node.stop()
      }
    }

    @Test(
      "what a node acknowledged is there after SIGTERM and after kill -9, and in a backup that was made while it ran")
    func stopped() async throws {
      try await RoutedHosts.run { routed in
        let (owner, host) = (routed.first, routed.second)
        let records = host.home.path + "/records"
        func messages() async throws -> JSONValue? {
          try await host.json("dwn", "stats", "--data", records)["messages"]
        }
        try await certificate(host, name: "node")
        var node = try await start(routed, host)
        try await owner.meshd(
          "up", "--create", "lab", "--endpoint", "http://\(RoutedHosts.addressV4(1)):\(Self.port)")
        try await host.meshd("dwn", "backup", "--data", records, host.home.path + "/backup")
        try await owner.meshd("down")
        let acknowledged = try await messages()
        #expect(acknowledged?["write"]?.integer ?? 0 > 0)
        for ending in [SIGKILL, SIGTERM] {
          node.signal(ending)
          let status = try await node.wait()
          #expect(status == (ending == SIGTERM ? 0 : 128 + SIGKILL), "\(node.output)")
          node = try await start(routed, host)
          #expect(try await messages() == acknowledged)
        }
        await node.stop()

        let restored = host.home.path + "/restored"
        try await host.meshd("dwn", "restore", "--data", restored, host.home.path + "/backup")
        #expect(try await host.json("dwn", "tenants", "--data", restored).array?.count == 1)
        let again = try await host.attempt(["dwn", "restore", "--data", restored, host.home.path + "/backup"])
        #expect(again.complaint(status: 1, naming: ["nothing is overwritten"]) == nil)
      }
    }
  }
}
