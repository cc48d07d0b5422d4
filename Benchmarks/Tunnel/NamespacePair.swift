import Foundation
import Glibc

/// Two hosts on one wire: network namespaces joined by a veth pair, with the wire's usual MTU of 1500.
final class NamespacePair {
  static let prefix = "meshbench"

  /// The wire's addresses of the two.
  static let wire = ["198.18.0.1", "198.18.0.2"]

  /// What is missing to make one, or `nil`.
  static let obstacle: String? = {
    guard getuid() == 0 else { return "root is needed for network namespaces" }
    return ["ip", "iperf3", "ping", "wg", "ethtool", "setpriv"].first {
      (try? ChildProcess.run(["sh", "-c", "command -v \($0)"])) == nil
    }.map { "the command \($0) is missing" }
  }()

  let names: [String]
  private var server: ChildProcess?

  init() throws {
    try NamespacePair.removeAbandoned()
    names = ["a", "b"].map { "\(NamespacePair.prefix)-\(getpid())-\($0)" }
    for name in names { try ChildProcess.run(["ip", "netns", "add", name]) }
    let links = names.indices.map { "mb\(getpid())v\($0)" }
    try ChildProcess.run(["ip", "link", "add", links[0], "type", "veth", "peer", "name", links[1]])
    for (index, name) in names.enumerated() {
      try ChildProcess.run(["ip", "link", "set", links[index], "netns", name])
      try run(index, ["ip", "link", "set", links[index], "name", "wire"])
      try run(index, ["ip", "address", "add", "\(NamespacePair.wire[index])/24", "dev", "wire"])
      try run(index, ["ip", "link", "set", "wire", "up"])
      try run(index, ["ip", "link", "set", "lo", "up"])
      try run(index, ["sh", "-c", "echo reno > /proc/sys/net/ipv4/tcp_congestion_control"])
    }
    server = try ChildProcess(inside(1, ["iperf3", "-s"]))
  }

  deinit {
    server?.stop()
    for name in names { NamespacePair.remove(name) }
  }

  /// A command that is run inside one of the two.
  func inside(_ index: Int, _ command: [String]) -> [String] { ["ip", "netns", "exec", names[index]] + command }

  @discardableResult
  func run(_ index: Int, _ command: [String], seconds: Int = 30) throws -> String {
    try ChildProcess.run(inside(index, command), seconds: seconds)
  }

  /// Whether trains of datagrams cross the wire whole, as they do where the sender's card cuts them, or one by one.
  func carryTrains(_ carries: Bool) throws {
    for index in names.indices {
      try run(index, ["ethtool", "-K", "wire", "tx-udp-segmentation", carries ? "on" : "off"])
    }
  }

  /// A benchmark that was killed leaves its namespaces, and programs in them, behind.
  private static func removeAbandoned() throws {
    let present = try ChildProcess.run(["ip", "netns", "list"]).split(separator: "\n").map { $0.prefix { $0 != " " } }
    for name in present where name.hasPrefix("\(prefix)-") {
      let owner = name.dropFirst(prefix.count + 1).prefix { $0 != "-" }
      if let pid = pid_t(owner), kill(pid, 0) != 0 { remove(String(name)) }
    }
  }

  private static func remove(_ name: String) {
    let pids = (try? ChildProcess.run(["ip", "netns", "pids", name])) ?? ""
    for line in pids.split(separator: "\n") {
      if let pid = pid_t(line) { kill(pid, SIGKILL) }
    }
    _ = try? ChildProcess.run(["ip", "netns", "delete", name])
  }
}
