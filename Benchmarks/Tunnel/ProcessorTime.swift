import Foundation
import Glibc

/// Processor time that was used up to a moment, in seconds.
struct ProcessorTime {
  /// Of the whole machine, whatever was not idle.
  var machine: Double
  /// Of the tunnel's programs at both ends.
  var programs: Double

  private static let ticksPerSecond = Double(sysconf(CInt(_SC_CLK_TCK)))

  static func now(_ pids: [pid_t]) -> ProcessorTime {
    let fields = text("/proc/stat").prefix { $0 != "\n" }.split(separator: " ").dropFirst().compactMap { Double($0) }
    // user, nice, system, (idle, iowait,) irq, softirq
    let busy = fields.count >= 7 ? fields[0] + fields[1] + fields[2] + fields[5] + fields[6] : 0
    return ProcessorTime(machine: busy / ticksPerSecond, programs: pids.map(used).reduce(0, +))
  }

  static func - (a: ProcessorTime, b: ProcessorTime) -> ProcessorTime {
    ProcessorTime(machine: a.machine - b.machine, programs: a.programs - b.programs)
  }

  static let cores = max(1, sysconf(CInt(_SC_NPROCESSORS_ONLN)))

  /// Of one program, all its threads, also those that ended, to the nanosecond.
  static func used(_ pid: pid_t) -> Double {
    var clock = clockid_t()
    var time = timespec()
    guard clock_getcpuclockid(pid, &clock) == 0, clock_gettime(clock, &time) == 0 else { return 0 }
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
  }

  /// The memory of a program that is in use and its own or shared, in megabytes (10⁶ bytes).
  static func residentMegabytes(_ pid: pid_t) -> Double {
    for line in text("/proc/\(pid)/status").split(separator: "\n") where line.hasPrefix("VmRSS:") {
      return (line.split(whereSeparator: { $0 == " " || $0 == "\t" }).dropFirst().first.flatMap { Double($0) } ?? 0)
        * 1024 / 1e6
    }
    return 0
  }

  private static func text(_ path: String) -> String { (try? String(contentsOfFile: path, encoding: .utf8)) ?? "" }
}
