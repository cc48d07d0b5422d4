import Cryptography
import Engine
import Foundation
import Netmap
import Testing
import Wire

/// Our engine against another implementation, over real interfaces.
@Suite(
  "with wireguard-go at the other end",
  .enabled(if: WireGuardGoPeer.obstacle == nil, "\(WireGuardGoPeer.obstacle ?? "")"))
struct WireGuardGoInterop {
  /// Who begins the handshakes.
  enum Initiator: String, CaseIterable, Sendable {
    case ours
    case theirs
  }

  /// The two machines of one cable: `a` runs our engine, `b` the other.
  private struct Pair {
    let ours: LabEngine
    let theirs: WireGuardGoPeer

    static let ourAddresses = ["10.200.0.1/32", "fd0d:e100:d3c5:1::a/128"]
    static let theirAddresses = ["10.200.0.2/32", "fd0d:e100:d3c5:1::b/128"]

    /// Only the initiator knows where the other one is.
    static func start(_ lab: NetworkLab, _ initiator: Initiator, underlay: IPAddress.Family) async throws -> Pair {
      let a = try await lab.namespace("a\(initiator.rawValue.prefix(1))")
      let b = try await lab.namespace("b\(initiator.rawValue.prefix(1))")
      try await lab.connect(
        a, ["192.0.2.1/24", "2001:db8::1/64"], b, ["192.0.2.2/24", "2001:db8::2/64"])
      let ours = try await LabEngine.start(in: a, port: 41641, addresses: ourAddresses)
      do {
        let theirs = try await WireGuardGoPeer.start(in: b, of: lab, port: 51820, addresses: theirAddresses)
        let v4 = underlay == .v4
        try await theirs.add(
          peer: ours.key.publicKey, allowedIPs: ours.addresses,
          endpoint: initiator == .theirs ? SocketAddress(v4 ? "192.0.2.1:41641" : "[2001:db8::1]:41641") : nil)
        let prefixes = theirAddresses.compactMap { IPPrefix($0) }
        try await ours.apply([
          Peer(
            key: theirs.key.publicKey, name: "theirs", addresses: prefixes, allowedIPs: prefixes,
            endpoints: initiator == .ours
              ? [SocketAddress(v4 ? "192.0.2.2:51820" : "[2001:db8::2]:51820")].compactMap { $0 } : [])
        ])
        return Pair(ours: ours, theirs: theirs)
      } catch {
        await ours.stop()
        throw error
      }
    }

    /// The percentage of pings without an answer, from one end to the other.
    func loss(from here: NetworkNamespace, to address: String, count: Int, interval: String) async throws -> Double {
      let outcome = try await here.attempt(
        ["ping", "-q", "-i", interval, "-W", "2", "-c", "\(count)", address], limit: .seconds(240))
      guard let words = outcome.output.firstMatch(of: /([0-9.]+)% packet loss/), let percent = Double(words.1) else {
        throw CommandFailure(namespace: here.label, command: ["ping", address], outcome: outcome)
      }
      return percent
    }

    /// Megabits per second that arrive, from our end to theirs or the other way.
    func throughput(to address: String, reversed: Bool, seconds: Int = 2) async throws -> Double {
      let command = ["iperf3", "-J", "-c", address, "-t", "\(seconds)"] + (reversed ? ["-R"] : [])
      let text = try await ours.namespace.run(command, limit: .seconds(60))
      struct Report: Decodable {
        struct End: Decodable {
          struct Sum: Decodable { let bits_per_second: Double }
          let sum_received: Sum
        }
        let end: End
      }
      return try JSONDecoder().decode(Report.self, from: Data(text.utf8)).end.sum_received.bits_per_second / 1e6
    }
  }

  private func withPair(
    _ initiator: Initiator, underlay: IPAddress.Family = .v4, _ body: (NetworkLab, Pair) async throws -> Void
  ) async throws {
    try await NetworkLab.run { lab in
      let pair = try await Pair.start(lab, initiator, underlay: underlay)
      do {
        try await body(lab, pair)
      } catch {
        await pair.ours.stop()
        throw error
      }
      await pair.ours.stop()
    }
  }

  @Test(
    "packets of both families go both ways, whoever begins and whatever carries the tunnel", .timeLimit(.minutes(10)),
    arguments: Initiator.allCases, [IPAddress.Family.v4, .v6])
  func reachesBothWays(initiator: Initiator, underlay: IPAddress.Family) async throws {
    try await withPair(initiator, underlay: underlay) { _, pair in
      // The one who knows an address speaks first; from then on both do.
      let first = initiator == .ours ? pair.ours.namespace : pair.theirs.namespace
      let addresses =
        initiator == .ours ? ["10.200.0.2", "fd0d:e100:d3c5:1::b"] : ["10.200.0.1", "fd0d:e100:d3c5:1::a"]
      for address in addresses {
        #expect(try await pair.loss(from: first, to: address, count: 10, interval: "0.1") == 0)
      }
      let second = initiator == .ours ? pair.theirs.namespace : pair.ours.namespace
      let others = initiator == .ours ? ["10.200.0.1", "fd0d:e100:d3c5:1::a"] : ["10.200.0.2", "fd0d:e100:d3c5:1::b"]
      for address in others {
        #expect(try await pair.loss(from: second, to: address, count: 10, interval: "0.1") == 0)
      }
      let status = try #require(await pair.ours.status(of: pair.theirs.key.publicKey))
      #expect(status.session == .established)
      #expect(status.endpoint == SocketAddress(underlay == .v4 ? "192.0.2.2:51820" : "[2001:db8::2]:51820"))
      #expect(status.receivedBytes > 0 && status.sentBytes > 0)
    }
  }

  @Test(
    "a session carries load and pings through a rekey in either role", .timeLimit(.minutes(10)),
    arguments: Initiator.allCases)
  func survivesRekey(initiator: Initiator) async throws {
    try await withPair(initiator) { lab, pair in
      let theirKey = pair.theirs.key.publicKey
      let first = initiator == .ours ? pair.ours.namespace : pair.theirs.namespace
      let firstTarget = initiator == .ours ? "10.200.0.2" : "10.200.0.1"
      #expect(try await pair.loss(from: first, to: firstTarget, count: 3, interval: "0.2") == 0)

      let servers = [
        try await lab.start(["iperf3", "-s", "-B", "10.200.0.2"], in: pair.theirs.namespace),
        try await lab.start(["iperf3", "-s", "-B", "fd0d:e100:d3c5:1::b"], in: pair.theirs.namespace),
      ]
      try await Task.sleep(for: .milliseconds(500))
      #expect(servers.allSatisfy { $0.isRunning })
      for (address, reversed) in [
        ("10.200.0.2", false), ("10.200.0.2", true), ("fd0d:e100:d3c5:1::b", false), ("fd0d:e100:d3c5:1::b", true),
      ] {
        let rate = try await pair.throughput(to: address, reversed: reversed)
        print("\(initiator) began, \(address), \(reversed ? "to us" : "from us"): \(Int(rate)) Mbit/s")
        #expect(rate > 10)
      }
      let handshakesBefore = pair.ours.handshakes(with: theirKey)
      let theirHandshakeBefore = try await pair.theirs.latestHandshake(with: pair.ours.key.publicKey)
      #expect(handshakesBefore >= 1 && theirHandshakeBefore > 0)

      // 135 s from here are more than the 120 s after which the initiator replaces the session.
      async let lossFromUs = pair.loss(from: pair.ours.namespace, to: "10.200.0.2", count: 675, interval: "0.2")
      async let lossToUs = pair.loss(
        from: pair.theirs.namespace, to: "fd0d:e100:d3c5:1::a", count: 675, interval: "0.2")
      let losses = try await (fromUs: lossFromUs, toUs: lossToUs)
      #expect(losses.fromUs < 1 && losses.toUs < 1)

      #expect(pair.ours.handshakes(with: theirKey) > handshakesBefore)
      #expect(try await pair.theirs.latestHandshake(with: pair.ours.key.publicKey) > theirHandshakeBefore)
      #expect(try await pair.throughput(to: "10.200.0.2", reversed: false, seconds: 1) > 10)
    }
  }
}
