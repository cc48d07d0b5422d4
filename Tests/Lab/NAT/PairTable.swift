import Foundation
import Wire

/// What was measured of many pairs, for people and for programs.
struct PairTable: Sendable {
  /// In the order of the pairs.
  var measurements: [PairMeasurement]

  /// A table in Markdown.
  var text: String {
    var lines = [
      "| | | path | first packet | direct |",
      "|---|---|---|---:|---:|",
    ]
    for one in measurements {
      let path = one.fault == nil ? one.path.rawValue : "**\(one.path.rawValue)**"
      lines.append(
        "| \(one.pair.left.rawValue) | \(one.pair.right.rawValue) | \(path) | \(Self.cell(one.firstPacketSeconds)) "
          + "| \(one.path == .direct ? Self.cell(one.directSeconds) : "–") |")
    }
    return lines.joined(separator: "\n")
  }

  /// How many were as quick as they should be.
  var summary: String {
    let arrived = measurements.filter { ($0.firstPacketSeconds ?? .infinity) <= 1 }
    let direct = measurements.filter { $0.pair.expectation == .direct }
    let quick = direct.filter { one in
      guard let first = one.firstPacketSeconds, let direct = one.directSeconds else { return false }
      return direct - first <= 1
    }
    return "first packet within 1 s: \(arrived.count) of \(measurements.count); direct within 1 s of it: "
      + "\(quick.count) of the \(direct.count) that must be"
  }

  /// Writes the array that `lab.json` is.
  func write(to url: URL) throws {
    let lines = measurements.map { String(decoding: $0.json.encoded, as: UTF8.self) }
    try Data("[\n  \(lines.joined(separator: ",\n  "))\n]\n".utf8).write(to: url, options: .atomic)
  }

  private static func cell(_ seconds: Double?) -> String { seconds.map { String(format: "%.2f s", $0) } ?? "never" }
}
