import Cryptography
import Glibc

/// Small datagrams, as many as one sender makes: those that arrive.
struct SmallDatagrams: TunnelBenchmark {
  let title = "udp/64B: datagrams of 64 bytes, delivered"

  func figures(_ lab: NamespacePair, _ effort: Effort) throws -> [Figure] {
    let ours = try RunningTunnel.ours(lab, 0, mtu: 1420)
    let rivals = try Rival.all.enumerated().map { try RunningTunnel.foreign($1.path, lab, $0 + 1, mtu: 1420) }
    let tunnels = [ours] + rivals
    defer { for tunnel in tunnels { tunnel.stop() } }
    let sink = try DatagramSink(lab)
    let runs = try interleaved(
      effort.rounds,
      tunnels.map { tunnel in
        { try sink.rate(to: tunnel.farAddress, payload: 64, seconds: effort.seconds) }
      })
    return Rival.all.enumerated().map { index, rival in
      Figure(
        "udp/64B\(rival.suffix)", runs[0].median, "packets/s", versus: rival.title, of: runs[index + 1].median)
    }
  }
}

/// How long an answer takes while four TCP streams fill the tunnel: the slowest but one in a hundred.
struct LoadedRoundTrip: TunnelBenchmark {
  let title = "rtt/loaded: round trips beside 4 TCP streams, 99th percentile"

  func figures(_ lab: NamespacePair, _ effort: Effort) throws -> [Figure] {
    let ours = try RunningTunnel.ours(lab, 0, mtu: 1420)
    let rivals = try Rival.all.enumerated().map { try RunningTunnel.foreign($1.path, lab, $0 + 1, mtu: 1420) }
    let tunnels = [ours] + rivals
    defer { for tunnel in tunnels { tunnel.stop() } }
    let runs = try interleaved(
      effort.rounds,
      tunnels.map { tunnel in
        {
          let load = try ChildProcess(
            lab.inside(0, ["iperf3", "-c", tunnel.farAddress, "-P", "4", "-C", "cubic", "-t", "\(effort.seconds + 2)"]))
          defer { load.stop() }
          usleep(500_000)
          let times = try lab.ping(tunnel.farAddress, count: effort.seconds * 100)
          guard !times.isEmpty else { throw BenchmarkFailure(reason: "no answer came through the full tunnel") }
          return times[times.count * 99 / 100]
        }
      })
    return Rival.all.enumerated().map { index, rival in
      Figure("rtt/loaded\(rival.suffix)", runs[0].median, "ms", versus: rival.title, of: runs[index + 1].median)
    }
  }
}

/// Data messages that arrive after a later one of their session, on a wire that keeps order: at full speed, whatever the load.
struct OutOfOrder: TunnelBenchmark {
  let title = "reorder: messages out of order at full speed"

  func figures(_ lab: NamespacePair, _ effort: Effort) throws -> [Figure] {
    var late = 0
    for threads in [1, 2] {
      let ours = try RunningTunnel.ours(lab, threads, mtu: 1420, .init(threads: threads))
      defer { ours.stop() }
      _ = try lab.tcp(to: ours.farAddress, streams: 4, seconds: effort.seconds, pids: [])
      _ = try DatagramSink(lab).rate(to: ours.farAddress, payload: 64, seconds: effort.seconds)
      for end in 0...1 { late += Int(try ours.status(end)["late"] ?? "") ?? 0 }
    }
    return [Figure("reorder", Double(late), "messages")]
  }
}

/// TCP while strangers who know the receiver's key begin handshakes, beside the same in peace.
struct HandshakeFlood: TunnelBenchmark {
  let title = "flood/tcp: TCP beside 20,000 initiations a second"

  func figures(_ lab: NamespacePair, _ effort: Effort) throws -> [Figure] {
    let tunnel = try RunningTunnel.ours(lab, 0, mtu: 1420)
    defer { tunnel.stop() }
    let runs = try interleaved(
      effort.rounds,
      [false, true].map { isFlooded in
        {
          let flood =
            try !isFlooded
            ? nil
            : ChildProcess(
              lab.inside(
                0,
                [
                  CommandLine.arguments[0], "datagrams", "--to", NamespacePair.wire[1], "--destination-port",
                  "\(tunnel.place.port)", "--initiations-for", tunnel.keys[1].base64, "--rate", "20000", "--seconds",
                  "\(effort.seconds + 2)",
                ]))
          defer { flood?.stop() }
          return try lab.tcp(to: tunnel.farAddress, streams: 1, seconds: effort.seconds, pids: []).gigabits
        }
      })
    return [Figure("flood/tcp", runs[1].median, "Gbit/s", versus: "the same in peace", of: runs[0].median)]
  }
}

/// Packets a second through a daemon that has 10,000 peers, beside one that has a single peer.
struct ManyPeers: TunnelBenchmark {
  let title = "peers/10000: packets a second with 10,000 peers"

  func figures(_ lab: NamespacePair, _ effort: Effort) throws -> [Figure] {
    let tunnels = try [1, 10_000].enumerated().map { number, peers in
      try RunningTunnel.ours(lab, number, mtu: 1420, .init(peers: peers))
    }
    defer { for tunnel in tunnels { tunnel.stop() } }
    let sink = try DatagramSink(lab)
    let runs = try interleaved(
      effort.rounds,
      tunnels.map { tunnel in
        { try sink.rate(to: tunnel.farAddress, payload: 64, seconds: effort.seconds) }
      })
    return [
      Figure("peers/10000", runs[1].median, "packets/s", versus: "the same with 1 peer", of: runs[0].median)
    ]
  }
}
