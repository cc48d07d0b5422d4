import Foundation
import Glibc
import Testing
import Wire

extension MeshdLab {
  /// A machine is as it was, once meshd has gone.
  @Suite struct TeardownTests {
    @Test("down leaves no device, address, route or rule behind")
    func down() async throws {
      try await RoutedHosts.run { routed in
        let before = try await networkStates(of: routed)
        _ = try await QuickStart.network(of: routed)
        for host in routed.hosts { try await host.meshd("down") }
        #expect(try await networkStates(of: routed) == before)
        for host in routed.hosts { #expect(try await host.processes().isEmpty) }
      }
    }

    @Test("a daemon that was killed leaves nothing behind that its successor's down does not remove")
    func killedThenDown() async throws {
      try await RoutedHosts.run { routed in
        let before = try await networkStates(of: routed)
        _ = try await QuickStart.network(of: routed)
        try await routed.second.killDaemon()
        try await routed.second.meshd("up")
        for host in routed.hosts { try await host.meshd("down") }
        #expect(try await networkStates(of: routed) == before)
      }
    }

    @Test("a daemon that hangs is killed by down, which leaves nothing of it behind; the next one has the network")
    func hung() async throws {
      try await RoutedHosts.run { routed in
        let before = try await networkStates(of: routed)
        _ = try await QuickStart.network(of: routed)
        let pid = try #require(try await routed.second.status()["pid"]?.integer.flatMap { pid_t(exactly: $0) })
        kill(pid, SIGSTOP)
        let output = try await routed.second.meshd("down")
        #expect(output.contains("does not answer") && output.contains("killed") && output.contains("Stopped."))
        #expect(try await routed.second.processes().isEmpty)
        #expect(!FileManager.default.fileExists(atPath: routed.second.state.appendingPathComponent("meshd.sock").path))
        try await routed.second.meshd("up")
        try await QuickStart.requireTunnel(routed.first, routed.second)
        for host in routed.hosts { try await host.meshd("down") }
        #expect(try await networkStates(of: routed) == before)
      }
    }

    @Test("down without a daemon says so and succeeds")
    func downTwice() async throws {
      try await RoutedHosts.run(1) { routed in
        try await routed.first.meshd("init")
        let output = try await routed.first.meshd("down")
        #expect(output.contains("not running"))
      }
    }

    @Test("a foreground daemon ends cleanly at SIGTERM")
    func foreground() async throws {
      try await RoutedHosts.run(1) { routed in
        let before = try await networkStates(of: routed)
        let daemon = try await routed.lab.start(
          routed.first.typed(["meshd", "up", "--create", "lab", "--foreground"]), in: routed.first.namespace)
        let up = try await eventually(.seconds(30)) { try await routed.first.status()["running"]?.bool == true }
        try #require(up, "\(daemon.output)")
        daemon.signal(SIGTERM)
        let ended = try await eventually(.seconds(10)) { !daemon.isRunning }
        #expect(ended, "\(daemon.output)")
        #expect(try await networkStates(of: routed) == before)
      }
    }

    @Test("a second up of one state directory starts no second daemon")
    func oneDaemonPerDirectory() async throws {
      try await RoutedHosts.run(1) { routed in
        try await routed.first.meshd("up", "--create", "lab")
        let before = try await routed.first.processes()
        _ = try await routed.first.attempt(["up"])
        #expect(try await routed.first.processes() == before)
      }
    }

    @Test("two daemons run on one machine, each with its own network, device and ports")
    func twoOnOneMachine() async throws {
      try await RoutedHosts.run(1) { routed in
        let one = routed.first
        let other = try MeshdHost(one.namespace, in: routed.lab.folder, state: "other")
        let before = try await one.networkState()
        try await one.meshd("up", "--create", "one")
        try await other.meshd("up", "--create", "other", "--listen", "0.0.0.0:8790")

        let (oneStatus, otherStatus) = (try await one.status(), try await other.status())
        #expect(oneStatus["running"]?.bool == true && otherStatus["running"]?.bool == true)
        for member in ["did", "pid", "tunDevice", "meshIP"] {
          #expect(oneStatus[member] != nil && oneStatus[member] != otherStatus[member], "\(member)")
        }

        try await one.meshd("down")
        #expect(try await other.status()["running"]?.bool == true)
        try await other.meshd("down")
        #expect(try await one.networkState() == before)
      }
    }

    private func networkStates(of routed: RoutedHosts) async throws -> [String] {
      var states: [String] = []
      for host in routed.hosts { states.append(try await host.networkState()) }
      return states
    }
  }
}
