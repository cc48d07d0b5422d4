import Foundation

/// TCP between two ends that reach each other through a relay alone: through ours with the share that it gives to each client, and without,
/// through another one, and directly.
struct RelayedTunnel: TunnelBenchmark {
  let title = "tcp/relayed: TCP in a tunnel through a relay"
  private let mtu = 1420
  /// How another relay is started, as `RunningRelay` says.
  private let foreign = ProcessInfo.processInfo.environment["BENCH_DERP"]

  func figures(_ lab: NamespacePair, _ effort: Effort) throws -> [Figure] {
    var programs: [RunningRelay.Program] = [.ours(isLimited: true), .ours(isLimited: false)]
    if let foreign { programs.append(.foreign(foreign)) }
    let relays = try programs.enumerated().map { try RunningRelay(lab, $0, $1) }
    defer { for relay in relays { relay.stop() } }
    let direct = try RunningTunnel.ours(lab, relays.count, mtu: mtu)
    try block(relays.indices.map { TunnelPlace(number: $0).port }, lab)
    let relayed = try relays.enumerated().map {
      try RunningTunnel.ours(lab, $0, mtu: mtu, .init(relay: $1.argument))
    }
    let tunnels = relayed + [direct]
    defer { for tunnel in tunnels { tunnel.stop() } }
    let runs = try interleaved(
      effort.rounds,
      tunnels.map { tunnel in
        { try lab.tcp(to: tunnel.farAddress, streams: 1, seconds: effort.seconds, pids: []).gigabits }
      }
    ).map(\.median)
    let others =
      (foreign.map { [("", "through \($0)", runs[2])] } ?? []) + [
        (foreign == nil ? "" : "@direct", "the direct way", runs[relays.count])
      ]
    return others.flatMap { suffix, title, against in
      [
        Figure("tcp/relayed\(suffix)", runs[0], "Gbit/s", versus: title, of: against),
        Figure("tcp/relayed/unlimited\(suffix)", runs[1], "Gbit/s", versus: title, of: against),
      ]
    }
  }

  /// No datagram reaches these ports.
  private func block(_ ports: [UInt16], _ lab: NamespacePair) throws {
    let list = ports.map { "\($0)" }.joined(separator: ", ")
    for end in lab.names.indices {
      try lab.run(
        end,
        [
          "nft",
          "add table inet relayed; add chain inet relayed input { type filter hook input priority 0; };"
            + "add rule inet relayed input udp dport { \(list) } drop",
        ])
    }
  }
}
