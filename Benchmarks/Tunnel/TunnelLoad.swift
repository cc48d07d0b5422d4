import Foundation
import Glibc

/// What one run of traffic through a tunnel came to.
struct TunnelRun {
  /// Delivered, in Gbit/s of TCP payload.
  var gigabits = 0.0
  /// Processor seconds for each delivered gigabit.
  var machineTime = 0.0
  var programTime = 0.0
}

/// Programs that make traffic from the first namespace to the second.
extension NamespacePair {
  /// Congestion control is cubic, as most hosts have it. What connects begins with the namespace's: on a host whose own is BBR the
  /// connection would keep that one's pacing, a timer for each of its bursts, whatever it is told to use later.
  func tcp(to address: String, streams: Int, seconds: Int, pids: [pid_t]) throws -> TunnelRun {
    let before = ProcessorTime.now(pids)
    let report = try iperf(["-c", address, "-P", "\(streams)", "-t", "\(seconds)", "-C", "cubic"], seconds)
    let used = ProcessorTime.now(pids) - before
    let sum = try part(report, "sum_received")
    let gigabits = (sum["bytes"] as? Double ?? 0) * 8 / 1e9
    return TunnelRun(
      gigabits: (sum["bits_per_second"] as? Double ?? 0) / 1e9, machineTime: used.machine / gigabits,
      programTime: used.programs / gigabits)
  }

  /// Round-trip times in milliseconds, sorted.
  func ping(_ address: String, count: Int) throws -> [Double] {
    try run(0, ["ping", "-n", "-i", "0.01", "-c", "\(count)", "-w", "20", address]).split(separator: "\n")
      .compactMap { line in
        line.range(of: "time=").flatMap { Double(line[$0.upperBound...].prefix { $0 != " " }) }
      }.sorted()
  }

  /// Waits until the address answers through the tunnel, at most ten seconds.
  func awaitAnswer(from address: String) throws {
    for _ in 0..<20 {
      if (try? run(0, ["ping", "-n", "-c", "1", "-W", "0.5", address])) != nil { return }
    }
    throw BenchmarkFailure(reason: "\(address) does not answer through its tunnel")
  }

  private func iperf(_ arguments: [String], _ seconds: Int) throws -> [String: Any] {
    let text = try run(0, ["iperf3", "-J"] + arguments, seconds: seconds + 20)
    guard let report = try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any],
      let end = report["end"] as? [String: Any]
    else { throw BenchmarkFailure(reason: "iperf3 said: \(text.prefix(500))") }
    return end
  }

  private func part(_ end: [String: Any], _ name: String) throws -> [String: Any] {
    guard let sum = end[name] as? [String: Any] else { throw BenchmarkFailure(reason: "iperf3 gave no \(name)") }
    return sum
  }
}
