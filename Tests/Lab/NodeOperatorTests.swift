import Foundation
import Testing
import Wire

extension MeshdLab {
  /// What somebody types who looks after a node: exit codes, JSON, and files that are not what they should be.
  @Suite struct NodeOperatorTests {
    private static let port = 8787

    /// Zeros over every third page of a file behind its first quarter.
    private func damage(_ path: String) throws {
      let file = try #require(FileHandle(forUpdatingAtPath: path))
      let size = try file.seekToEnd()
      for page in stride(from: size / 4096 / 4, to: size / 4096, by: 3) {
        try file.seek(toOffset: page * 4096)
        try file.write(contentsOf: Data(count: 4096))
      }
      try file.close()
    }

    private func expect(
      _ host: MeshdHost, _ words: String..., status: Int32, naming names: String...,
      at location: SourceLocation = #_sourceLocation
    ) async throws {
      let complaint = try await host.attempt(words).complaint(status: status, naming: names)
      #expect(complaint == nil, "meshd \(words.joined(separator: " ")): \(complaint ?? "")", sourceLocation: location)
    }

    @Test(
      "a node is looked at, backed up and moved from the command line, beside it and after it, and bad files are named")
    func commands() async throws {
      try await RoutedHosts.run { routed in
        let (owner, host) = (routed.first, routed.second)
        func path(_ name: String) -> String { host.home.path + "/" + name }
        let records = path("records")
        let node = try await routed.lab.serve(
          host.typed([
            "meshd", "dwn", "serve", "--json", "--listen", "0.0.0.0:\(Self.port)", "--data", records, "--open",
            "--max-total", "500", "--max-tenants", "3", "--min-free", "1",
          ]), in: host.namespace, onTCP: Self.port)
        let created = try await owner.json(
          "up", "--create", "lab", "--endpoint", "http://\(RoutedHosts.addressV4(1)):\(Self.port)")
        let did = try #require(created["did"]?.string)
        try await owner.meshd("down")

        // Beside the node.
        let stats = try await host.json("dwn", "stats", "--data", records)
        #expect(stats["bounds"]?["totalBytes"] == .integer(500 << 20) && stats["bounds"]?["tenants"] == 3)
        #expect(stats["bounds"]?["freeDiskBytes"] == .integer(1 << 20))
        #expect(stats["bounds"]?["freeDiskBytesNow"]?.integer ?? 0 > 0)
        #expect(try await host.meshd("dwn", "stats", "--data", records).contains("3 tenants who are not named"))
        let tenants = try await host.json("dwn", "tenants", "--data", records)
        #expect(tenants.array?.map { $0["did"] } == [.string(did)])
        let messages = try #require(tenants.array?.first?["messages"]?.integer)
        #expect(messages > 0)
        let check = try await host.json("dwn", "check", "--data", records)
        #expect(check["messages"] == .integer(messages) && check["findings"] == [] && check["findingCount"] == 0)
        let exported = try await host.json("dwn", "export", "--data", records, did, path("owner.zst"))
        #expect(exported["messages"] == .integer(messages) && exported["tenant"] == .string(did))
        #expect(exported["file"] == .string(path("owner.zst")))
        let backup = try await host.json("dwn", "backup", "--data", records, path("backup"))
        #expect(backup["messages"] == .integer(messages) && backup["backup"] == .string(path("backup")))
        try await expect(
          host, "dwn", "export", "--data", records, did, path("owner.zst"), status: 1, naming: "nothing is overwritten")
        try await expect(
          host, "dwn", "export", "--data", records, "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK",
          path("nobody.zst"), status: 1, naming: "has nothing of")
        try await expect(
          host, "dwn", "backup", "--data", records, path("backup"), status: 1, naming: "nothing is overwritten")
        try await expect(
          host, "dwn", "import", "--data", records, path("owner.zst"), status: 1, naming: "a node is running")
        try await expect(
          host, "dwn", "serve", "--data", records, "--open", "--listen", "127.0.0.1:9999", status: 1,
          naming: "a node is running")
        try await expect(host, "down", "--state-dir", records, status: 1, naming: "a node is running")
        await node.stop()

        // To another one.
        let moved = try await host.json("dwn", "import", "--data", path("other"), path("owner.zst"))
        #expect(moved["tenant"] == .string(did) && moved["messages"] == .integer(messages))
        #expect(moved["refused"] == 0 && moved["refusals"] == [])
        #expect(try await host.json("dwn", "check", "--data", path("other"))["messages"] == .integer(messages))
        try await expect(
          host, "dwn", "import", "--data", path("other"), path("owner.zst"), status: 1, naming: "of whom it has none")

        // Files that are none of ours, or not whole.
        let export = try Data(contentsOf: URL(fileURLWithPath: path("owner.zst")))
        try Data("no export".utf8).write(to: URL(fileURLWithPath: path("text")))
        try Data().write(to: URL(fileURLWithPath: path("empty")))
        try export.prefix(export.count / 2).write(to: URL(fileURLWithPath: path("half")))
        for file in ["text", "empty", "half"] {
          try await expect(
            host, "dwn", "import", "--data", path("from-\(file)"), path(file), status: 1, naming: "export", "zstd")
        }
        try await expect(
          host, "dwn", "import", "--data", path("from-none"), path("none"), status: 1, naming: path("none"))
        let late = try await host.json("dwn", "import", "--data", path("from-half"), path("owner.zst"))
        #expect(late["messages"] == .integer(messages), "half an export left something")

        // Folders without a node, and commands without a folder.
        for command in ["tenants", "stats", "check"] {
          try await expect(host, "dwn", command, "--data", path("nowhere"), status: 1, naming: "there is no database")
          try await expect(host, "dwn", command, status: 2, naming: "--data")
        }
        #expect(!FileManager.default.fileExists(atPath: path("nowhere")))
        try await expect(host, "dwn", "backup", "--data", path("nowhere"), path("b"), status: 1, naming: "no database")
        try await expect(host, "dwn", "export", "--data", records, "alice", path("a"), status: 2, naming: "alice")
        try await expect(
          host, "dwn", "serve", "--data", records, "--tenant", did, "--max-tenants", "3", status: 2,
          naming: "--max-tenants")

        // A disk that changed what was written.
        try damage(path("other") + "/dwn.sqlite")
        let damaged = try await host.attempt(["dwn", "check", "--json", "--data", path("other")])
        #expect(damaged.status == 1, "\(damaged)")
        if let report = try? JSONValue(parsing: damaged.output) {
          #expect(report["findingCount"]?.integer ?? 0 > 0 && report["findings"]?.array?.isEmpty == false)
        } else {
          #expect(damaged.errors.contains("damaged"), "\(damaged)")
        }
        let refused = try await host.attempt(["dwn", "backup", "--data", path("other"), path("damaged-backup")])
        #expect(refused.complaint(status: 1, naming: ["damaged"]) == nil, "\(refused)")
        #expect(refused.errors.contains(path("other") + "/dwn.sqlite"), "\(refused)")
        #expect(!FileManager.default.fileExists(atPath: path("damaged-backup")))
      }
    }

    @Test("packets that were dropped are in the status, for people and for scripts")
    func drops() async throws {
      try await RoutedHosts.run(1) { routed in
        let host = routed.first
        try await host.meshd("up", "--create", "lab")
        let own = try await host.status("meshIP")
        // Nobody else is in the network, so nobody has this one.
        let last = try #require(own.split(separator: ".").last.flatMap { Int($0) })
        let other = own.split(separator: ".").dropLast().joined(separator: ".") + ".\(last == 77 ? 78 : 77)"
        func dropped() async throws -> Int64 { try await host.status()["drops"]?["noPeer"]?.integer ?? 0 }
        let before = try await dropped()
        _ = try? await host.run(["ping", "-c", "3", "-i", "0.2", "-W", "1", other])
        let isCounted = try await eventually(.seconds(20)) { try await dropped() >= before + 3 }
        let drops = try await host.status()["drops"]
        #expect(isCounted, "\(drops?.text ?? "no drops")")
        let line = try await host.meshd("status").split(separator: "\n").first { $0.contains("Dropped packets:") }
        #expect(line?.contains("noPeer") == true, "\(line ?? "no line")")
      }
    }
  }
}
