import Foundation

/// How many rounds, and how long each run of traffic is.
struct Effort: Sendable {
  var rounds = 5
  var seconds = 2
}

/// Figures that are measured through tunnels between two namespaces.
protocol TunnelBenchmark: Benchmark {
  func figures(_ lab: NamespacePair, _ effort: Effort) throws -> [Figure]
}

extension TunnelBenchmark {
  func figures(_ effort: Effort) throws -> [Figure] {
    if let obstacle = NamespacePair.obstacle {
      print("  left out: \(obstacle)")
      return []
    }
    let lab = try NamespacePair()
    return try withExtendedLifetime(lab) { try figures(lab, effort) }
  }
}

/// Runs of several tunnels in turns, so that a machine that slows down for a while slows all of them down.
func interleaved<Value>(_ rounds: Int, _ runs: [() throws -> Value]) throws -> [[Value]] {
  var results = runs.map { _ in [Value]() }
  for _ in 0..<rounds {
    for (index, run) in runs.enumerated() { results[index].append(try run()) }
  }
  return results
}

extension Collection where Element == Double {
  var median: Double {
    let values = sorted()
    return values.isEmpty ? .nan : values[values.count / 2]
  }
}
