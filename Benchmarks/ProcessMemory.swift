import Foundation
import Glibc

/// What the kernel says of a process's memory.
enum ProcessMemory {
  /// In MiB.
  static func resident(of process: pid_t) throws -> Double { try status("VmRSS", of: process) }

  /// A line of `/proc/…/status`, in MiB.
  static func status(_ name: String, of process: pid_t) throws -> Double {
    let text = try String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8)
    guard let line = text.split(separator: "\n").first(where: { $0.hasPrefix(name + ":") }),
      let kibibytes = line.split(whereSeparator: { !$0.isNumber }).first.flatMap({ Double($0) })
    else { throw BenchmarkFailure(reason: "/proc/\(process)/status has no \(name)") }
    return kibibytes / 1024
  }
}
