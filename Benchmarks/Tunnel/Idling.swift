import Foundation
import Glibc
import Identity
import Wire

/// What a daemon costs that made a network, runs its node and its relay, and has 100 peers and nothing to carry; and the engine alone.
struct Idling: TunnelBenchmark {
  let title = "idle: 100 peers and no traffic, over a minute"

  func figures(_ lab: NamespacePair, _ effort: Effort) throws -> [Figure] {
    let daemon = try RestingDaemon(lab, peers: 100)
    defer { daemon?.stop() }
    let engine = try RunningTunnel.ours(lab, 0, mtu: 1420, .init(peers: 100))
    let rivals = try Rival.all.enumerated().map {
      try RunningTunnel.foreign($1.path, lab, $0 + 1, mtu: 1420, peers: 100)
    }
    let tunnels = [engine] + rivals
    defer { for tunnel in tunnels { tunnel.stop() } }
    // What begins with a start has to be over: handshakes and their keepalives, and the first looks at records and network.
    sleep(90)
    let pids = [daemon?.process.pid ?? tunnels[0].pids[0]] + tunnels.map { $0.pids[0] }
    let before = pids.map(ProcessorTime.used)
    sleep(60)
    let percent = zip(pids.map(ProcessorTime.used), before).map { ($0 - $1) / 60 * 100 }
    let megabytes = pids.map(ProcessorTime.residentMegabytes)
    var figures: [Figure] = []
    for (index, rival) in Rival.all.enumerated() {
      if daemon != nil {
        figures += [
          Figure("idle/cpu\(rival.suffix)", percent[0], "% of a core", versus: rival.title, of: percent[index + 2]),
          Figure("idle/rss\(rival.suffix)", megabytes[0], "MB", versus: rival.title, of: megabytes[index + 2]),
        ]
      }
      figures += [
        Figure(
          "idle/engine/cpu\(rival.suffix)", percent[1], "% of a core", versus: rival.title, of: percent[index + 2]),
        Figure("idle/engine/rss\(rival.suffix)", megabytes[1], "MB", versus: rival.title, of: megabytes[index + 2]),
      ]
    }
    return figures
  }
}

/// The program itself, as people start it, with a network of its own.
private struct RestingDaemon {
  let process: ChildProcess
  private let lab: NamespacePair
  private let folder: URL
  private let program: String

  /// `nil`, with a word about it, where the program was not built beside the benchmark.
  init?(_ lab: NamespacePair, peers: Int) throws {
    program =
      URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent().appendingPathComponent("meshd").path
    guard FileManager.default.isExecutableFile(atPath: program) else {
      print("  the daemon is left out: there is no \(program) ('make build' makes it)")
      return nil
    }
    self.lab = lab
    folder = FileManager.default.temporaryDirectory.appendingPathComponent("resting-\(getpid())")
    try FileManager.default.createDirectory(
      at: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
    let command = ["env", "HOME=\(folder.path)", "MESHD_STATE_DIR=\(folder.path)/state", program]
    try lab.run(0, command + ["init"])
    process = try ChildProcess(lab.inside(0, command + ["up", "--create", "bench", "--foreground"]))
    do {
      try awaitAnswer(command)
      for number in 0..<peers {
        let did = MachineIdentity.generate(random: SystemRandom()).did
        try lab.run(0, command + ["peer", "add", did.text, "--label", "peer\(number)"], seconds: 60)
      }
    } catch {
      stop()
      throw error
    }
  }

  /// Waits until the daemon answers, at most a minute.
  private func awaitAnswer(_ command: [String]) throws {
    for _ in 0..<300 {
      let text = try? lab.run(0, command + ["status", "--json"])
      if let text, (try? JSONValue(parsing: Array(text.utf8)))?["pid"]?.integer != nil { return }
      usleep(200_000)
    }
    throw BenchmarkFailure(reason: "the daemon did not start")
  }

  func stop() {
    process.stop()
    try? FileManager.default.removeItem(at: folder)
  }
}
