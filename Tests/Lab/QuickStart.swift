import Foundation

/// The README's quick start, command by command, relying on nothing but what it promises to print.
struct QuickStart {
  private(set) var times: [(step: String, time: Duration)] = []

  /// `meshd up --create NAME` on the first machine.
  @discardableResult
  mutating func create(_ name: String, on host: MeshdHost) async throws -> String {
    try await timed("up --create") { try await host.meshd("up", "--create", name) }
  }

  /// `meshd init` on the other machine, `meshd peer add` on the first, and the line that it printed on the other.
  mutating func admit(_ host: MeshdHost, by anchor: MeshdHost) async throws {
    let did = try Self.identity(in: try await timed("init") { try await host.meshd("init") })
    let added = try await timed("peer add") { try await anchor.meshd("peer", "add", did) }
    let line = try Self.joinLine(in: added)
    try await timed("up") { try await host.run(line) }
  }

  /// The DID in what `init` and `up --create` print.
  static func identity(in output: String) throws -> String {
    let mark = "Your device identity: "
    guard let line = output.split(separator: "\n").first(where: { $0.hasPrefix(mark) }) else {
      throw Missing(what: mark, in: output)
    }
    return String(line.dropFirst(mark.count))
  }

  /// The words of the last line of `peer add`.
  static func joinLine(in output: String) throws -> [String] {
    let words = (output.split(separator: "\n").last ?? "").split(separator: " ").map(String.init)
    guard words.starts(with: ["meshd", "up", "--endpoint"]), words.contains("--anchor"), words.contains("--network")
    else {
      throw Missing(what: "the line for the second machine", in: output)
    }
    return words
  }

  @discardableResult
  mutating func timed<Result>(_ step: String, _ body: () async throws -> Result) async throws -> Result {
    let start = ContinuousClock.now
    let result = try await body()
    times.append((step, ContinuousClock.now - start))
    return result
  }

  /// Prints how long each step took.
  func printTimes() {
    for (step, time) in times {
      let name = step.padding(toLength: 14, withPad: " ", startingAt: 0)
      print("    \(name) \(time.formatted(.units(allowed: [.milliseconds], width: .narrow)))")
    }
  }

  /// A network of all machines, up and answering pings between the first and every other.
  static func network(of routed: RoutedHosts) async throws -> QuickStart {
    var start = QuickStart()
    try await start.create("lab", on: routed.first)
    for host in routed.hosts.dropFirst() { try await start.admit(host, by: routed.first) }
    for host in routed.hosts.dropFirst() { try await requireTunnel(routed.first, host) }
    return start
  }

  /// Both machines answer each other's pings, IPv4 and IPv6.
  static func requireTunnel(_ a: MeshdHost, _ b: MeshdHost, within limit: Duration = .seconds(20)) async throws {
    for member in ["meshIP", "meshIPv6"] {
      for (from, to) in [(a, b), (b, a)] {
        let address = try await to.status(member)
        guard try await from.reaches(address, within: limit) else {
          throw Missing(what: "an answer from \(address)", in: "\(from.namespace.label) → \(to.namespace.label)")
        }
      }
    }
  }
}
