import Testing
import Wire

extension MeshdLab {
  /// What a server that is no node, or a hostile one, can do to somebody who is joining.
  @Suite struct GarbageNodeTests {
    static let answers: [GarbageNode.Answer] = [
      GarbageNode.Answer("hangs up", ""),
      GarbageNode.Answer("is no web server", "SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"),
      .page("shows a web page", type: "text/html", "<!doctype html><title>It works!</title>"),
      .page("fails", status: "500 Internal Server Error", type: "text/plain", "oops"),
      .page("has no such page", status: "404 Not Found", "{}"),
      .page("answers with other JSON", "{\"result\":5}"),
      .page("answers with an empty reply", "{\"jsonrpc\":\"2.0\",\"result\":{\"reply\":{}}}"),
      .page(
        "answers with entries that are none",
        "{\"result\":{\"reply\":{\"status\":{\"code\":200,\"detail\":\"OK\"},\"entries\":[1,{},\"x\",{\"recordsWrite\":null}]}}}"
      ),
      .page("cuts JSON off", "{\"result\":{\"reply\":{\"status\":{\"code\":200"),
      .page(
        "nests a hundred thousand deep", String(repeating: "[", count: 100_000) + String(repeating: "]", count: 100_000)
      ),
      .page("sends what is no text", "{\"result\":\"\u{0}\u{1}\u{fffd}\"}"),
      GarbageNode.Answer(
        "never stops talking",
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
        tail: "10000\r\n" + String(repeating: " ", count: 65536) + "\r\n", repeats: 8192),
      GarbageNode.Answer(
        "has a header without end", "HTTP/1.1 200 OK\r\nX: ", tail: String(repeating: "x", count: 65536), repeats: 8192),
    ]

    @Test("joining at a server that answers with garbage fails with one line and changes nothing", arguments: answers)
    func join(answer: GarbageNode.Answer) async throws {
      try await NetworkLab.run { lab in
        let host = try MeshdHost(try await lab.namespace("alone"), in: lab.folder)
        try await host.meshd("init")
        let (files, status) = (try contents(of: host.state), try await host.status())
        try await GarbageNode.run(answer) { node, port in
          // On the machine's own loopback: the server is in this process.
          let outcome = try await NetworkNamespace.command(
            host.typed([
              "meshd", "network", "join", "--endpoint", "http://127.0.0.1:\(port)", "--anchor", BadInputTests.someDID,
              "--network", BadInputTests.someNetwork,
            ]), limit: .seconds(60))
          let complaint = outcome.complaint(status: 1, naming: ["127.0.0.1:\(port)"])
          #expect(complaint == nil, "\(complaint ?? "")")
          #expect(node.sentBytes < 128 << 20, "it listened to \(node.sentBytes) bytes")
        }
        #expect(decisions(try contents(of: host.state)) == decisions(files))
        #expect(try await host.status() == status)
      }
    }
  }
}
