/// TCP through the tunnel, beside the same through other programs and through the bare wire, with the processor time that it takes.
struct TunnelThroughput: TunnelBenchmark {
  let streams: Int
  let mtu: Int

  private var name: String { "tcp/\(streams)x\(mtu)" }
  var title: String { "\(name): TCP in a tunnel, streams × MTU" }

  func figures(_ lab: NamespacePair, _ effort: Effort) throws -> [Figure] {
    let ours = try RunningTunnel.ours(lab, 0, mtu: mtu)
    let rivals = try Rival.all.enumerated().map { try RunningTunnel.foreign($1.path, lab, $0 + 1, mtu: mtu) }
    defer { for tunnel in rivals + [ours] { tunnel.stop() } }
    let targets = [ours.farAddress] + rivals.map(\.farAddress) + [NamespacePair.wire[1]]
    let pids = [ours.pids] + rivals.map(\.pids) + [[]]
    let runs = try interleaved(
      effort.rounds,
      targets.indices.map { index in
        { try lab.tcp(to: targets[index], streams: streams, seconds: effort.seconds, pids: pids[index]) }
      })
    let gigabits = runs.map { $0.map(\.gigabits).median }
    var figures: [Figure] = []
    for (index, title) in (Rival.all.map(\.title) + ["the bare wire"]).enumerated() {
      let suffix = index < Rival.all.count ? Rival.all[index].suffix : "@veth"
      figures.append(
        Figure(name + suffix, gigabits[0], "Gbit/s", versus: title, of: gigabits[index + 1]))
      figures.append(
        Figure(
          "cpu/\(name)\(suffix)", runs[0].map(\.machineTime).median, "s/Gbit", versus: title,
          of: runs[index + 1].map(\.machineTime).median))
    }
    return figures
  }
}

/// Processor time for each gigabit of TCP: of the whole machine with the traffic's own programs, and of the programs at both ends alone.
struct TunnelProcessorTime: TunnelBenchmark {
  let title = "cpu/tcp: processor time for a gigabit of TCP"
  private let mtu = 1420

  func figures(_ lab: NamespacePair, _ effort: Effort) throws -> [Figure] {
    let ours = try RunningTunnel.ours(lab, 0, mtu: mtu)
    let rivals = try Rival.all.enumerated().map { try RunningTunnel.foreign($1.path, lab, $0 + 1, mtu: mtu) }
    let tunnels = [ours] + rivals
    defer { for tunnel in tunnels { tunnel.stop() } }
    let runs = try interleaved(
      effort.rounds,
      tunnels.map { tunnel in
        { try lab.tcp(to: tunnel.farAddress, streams: 1, seconds: effort.seconds, pids: tunnel.pids) }
      })
    return Rival.all.enumerated().flatMap { index, rival in
      [
        Figure(
          "cpu/tcp\(rival.suffix)", runs[0].map(\.machineTime).median, "s/Gbit", versus: rival.title,
          of: runs[index + 1].map(\.machineTime).median),
        Figure(
          "cpu/tcp/programs\(rival.suffix)", runs[0].map(\.programTime).median, "s/Gbit", versus: rival.title,
          of: runs[index + 1].map(\.programTime).median),
      ]
    }
  }
}

/// TCP when the wire does not carry trains, so that each datagram arrives by itself.
struct SegmentedWire: TunnelBenchmark {
  let title = "tcp/segmented: TCP in a tunnel over a wire that carries each datagram alone"
  private let mtu = 1420

  func figures(_ lab: NamespacePair, _ effort: Effort) throws -> [Figure] {
    let ours = try RunningTunnel.ours(lab, 0, mtu: mtu)
    let rivals = try Rival.all.enumerated().map { try RunningTunnel.foreign($1.path, lab, $0 + 1, mtu: mtu) }
    let tunnels = [ours] + rivals
    defer { for tunnel in tunnels { tunnel.stop() } }
    try lab.carryTrains(false)
    let runs = try interleaved(
      effort.rounds,
      tunnels.map { tunnel in
        { try lab.tcp(to: tunnel.farAddress, streams: 1, seconds: effort.seconds, pids: tunnel.pids) }
      })
    return Rival.all.enumerated().map { index, rival in
      Figure(
        "tcp/segmented\(rival.suffix)", runs[0].map(\.gigabits).median, "Gbit/s", versus: rival.title,
        of: runs[index + 1].map(\.gigabits).median)
    }
  }
}

/// TCP beside what the processor allows: our own path without the cipher, and the cipher without a path.
struct TunnelLimit: TunnelBenchmark {
  let title = "limit/tcp: TCP in a tunnel beside the practical limit"
  private let mtu = 1420
  private let streams = 1

  func figures(_ lab: NamespacePair, _ effort: Effort) throws -> [Figure] {
    let ours = try RunningTunnel.ours(lab, 0, mtu: mtu)
    let bare = try RunningTunnel.ours(lab, 1, mtu: mtu, .init(isCipherless: true))
    let tunnels = [ours, bare]
    defer { for tunnel in tunnels { tunnel.stop() } }
    var ciphers: [Double] = []
    let runs = try interleaved(
      effort.rounds,
      tunnels.map { tunnel in
        {
          if tunnel.place.number == 0 { ciphers.append(PacketSealing.secondsPerGigabit(packet: mtu)) }
          return try lab.tcp(to: tunnel.farAddress, streams: streams, seconds: effort.seconds, pids: tunnel.pids)
        }
      })
    let whole = runs[0].map(\.machineTime).median
    let path = runs[1].map(\.machineTime).median
    let limit = path + ciphers.median
    let title = "the path without cipher and the cipher alone"
    return [
      // What a second of processor time carries.
      Figure("limit/tcp", 1 / whole, "Gbit/s per core", versus: title, of: 1 / limit),
      // The same in time, where each program also waits for the others.
      Figure(
        "limit/tcp/speed", runs[0].map(\.gigabits).median, "Gbit/s", versus: "\(title), all cores busy",
        of: Double(ProcessorTime.cores) / limit),
      Figure("tcp without cipher", runs[1].map(\.gigabits).median, "Gbit/s"),
      Figure("cpu/tcp without cipher, whole machine", path, "s/Gbit"),
      Figure("cpu of the cipher alone", ciphers.median, "s/Gbit"),
      Figure("cpu/tcp with cipher, whole machine", whole, "s/Gbit"),
    ]
  }
}
