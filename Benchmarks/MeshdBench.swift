import ArgumentParser
import Foundation

/// `make bench`: what the expensive steps cost on this machine.
///
/// Every figure stands beside one of the same run that it is measured against, since a machine's speed differs from hour to hour
/// and a ratio does not. A new benchmark conforms to `Benchmark` and is added to `MeshdBench.all`.
@main
struct MeshdBench: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "meshd-bench", abstract: "Measures what meshd's expensive steps cost on this machine.",
    subcommands: [EngineEnd.self, RelayEnd.self, NodeEnd.self, DatagramTool.self])

  static let all: [any Benchmark] =
    [
      NodeMemory(), PacketSealing(), Handshaking(), NetmapTranslation(), NodeWrites(), NodeQueries(), NodeEvents(),
      NodeOverSockets(),
    ]
    + [1280, 1420].flatMap { mtu in [1, 4].map { TunnelThroughput(streams: $0, mtu: mtu) } }
    + [
      TunnelLimit(), SmallDatagrams(), SegmentedWire(), TunnelProcessorTime(), LoadedRoundTrip(), OutOfOrder(),
      HandshakeFlood(), ManyPeers(), RelayedTunnel(), RelayMemory(), Idling(),
    ]

  @Option(help: "Writes the figures to this file as a JSON array.")
  var json: String?

  @Option(help: "Runs only the benchmarks whose title contains this, as 'tcp/1x1280'.")
  var only: String?

  @Option(help: "How often the runs of a tunnel are repeated; the median counts.")
  var rounds = Effort().rounds

  @Option(help: "How many seconds each run of a tunnel lasts.")
  var seconds = Effort().seconds

  func run() async throws {
    let chosen = Self.all.filter { only == nil || $0.title.localizedCaseInsensitiveContains(only ?? "") }
    guard !chosen.isEmpty else { throw ValidationError("no benchmark's title contains \"\(only ?? "")\"") }
    #if DEBUG
      FileHandle.standardError.write(
        Data("meshd-bench: a debug build says nothing about speed; use 'make bench'\n".utf8))
    #endif

    var figures: [Figure] = []
    for benchmark in chosen {
      print("\(benchmark.title)…")
      figures += try await benchmark.figures(Effort(rounds: rounds, seconds: seconds))
    }
    print("\n" + Figure.table(figures))
    if let json {
      try Data(Figure.json(figures).utf8).write(to: URL(fileURLWithPath: json), options: .atomic)
    }
  }
}

/// Something that can be measured.
protocol Benchmark: Sendable {
  /// What is measured, for the line that is shown while it runs.
  var title: String { get }

  func figures(_ effort: Effort) async throws -> [Figure]
}

/// A benchmark that could not be set up.
struct BenchmarkFailure: Error, CustomStringConvertible {
  let reason: String

  var description: String { reason }
}
