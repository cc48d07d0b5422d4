import Foundation
import Testing
import Wire

extension MeshdLab {
  /// Files that are not what meshd wrote, and disks that take no more.
  @Suite struct DamagedStateTests {
    @Test(
      "a damaged file is named and left alone",
      arguments: [
        "identity.json", "network.json", "settings.json", "mesh.sqlite",
      ])
    func damaged(file: String) async throws {
      try await RoutedHosts.run(1) { routed in
        let host = routed.first
        try await host.meshd("up", "--create", "lab")
        try await host.meshd("down")
        let url = host.state.appendingPathComponent(file)
        try #require(FileManager.default.fileExists(atPath: url.path), "meshd keeps no \(file)")
        let rubbish = Data("{\"this\": is not what was here\u{0}".utf8)
        try rubbish.write(to: url)
        // A write-ahead log would repair the database.
        for suffix in ["-wal", "-shm"] { try? FileManager.default.removeItem(atPath: url.path + suffix) }

        let outcome = try await host.attempt(["up"])

        let complaint = outcome.complaint(status: 1, naming: [url.path])
        #expect(complaint == nil, "\(complaint ?? "")")
        #expect(try Data(contentsOf: url) == rubbish)
        #expect(try await host.isQuiet())
      }
    }

    @Test("a full disk is an error, and once there is room the same command works")
    func fullDisk() async throws {
      try await RoutedHosts.run(1) { routed in
        let host = routed.first
        try FileManager.default.createDirectory(at: host.state, withIntermediateDirectories: true)
        let mounted = try await NetworkNamespace.command([
          "mount", "-t", "tmpfs", "-o", "size=64k,mode=0700", "none", host.state.path,
        ])
        try #require(mounted.succeeded, "\(mounted.errors)")
        do {
          let outcome = try await host.attempt(["up", "--create", "lab"])
          let complaint = outcome.complaint(status: 1, naming: ["no space", "full"])
          #expect(complaint == nil, "\(complaint ?? "")")
          #expect(try await host.isQuiet())

          let widened = try await NetworkNamespace.command(["mount", "-o", "remount,size=64m", host.state.path])
          try #require(widened.succeeded, "\(widened.errors)")
          try await host.meshd("up", "--create", "lab")
          #expect(try await host.status("network") == "lab")
          try await host.meshd("down")

          let closed = try await NetworkNamespace.command(["mount", "-o", "remount,ro", host.state.path])
          try #require(closed.succeeded, "\(closed.errors)")
          let status = try await host.status()
          #expect(status["network"] == "lab", "who looks is told what can be told")
          #expect(status["notes"]?.text.contains("nothing can be written") == true)
        } catch {
          _ = try await NetworkNamespace.command(["umount", "--lazy", host.state.path])
          throw error
        }
        _ = try await NetworkNamespace.command(["umount", "--lazy", host.state.path])
      }
    }
  }
}
