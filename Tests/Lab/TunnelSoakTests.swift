import CLinux
import DataPath
import Engine
import Foundation
import Glibc
import Netmap
import TestSupport
import Testing
import Wire

/// What people trust a tunnel with, for as long as it is told to: nothing that arrives was changed, whatever the network does.
@Suite(
  "a tunnel that is used hard (Soak)", .enabled(if: NetworkLab.obstacle == nil, "\(NetworkLab.obstacle ?? "")"),
  .serialized, .timeLimit(.minutes(Soak.minutes(short: 10))))
struct TunnelSoakTests {
  @Test(
    "through rekeys, over a network that delays, reorders, repeats, changes and loses, no byte arrives that was not sent",
    arguments: ["none", "all"])
  func badNetwork(withoutOffloads: String) async throws {
    try await NetworkLab.run { lab in
      let pair = try await TunnelPair(lab, without: withoutOffloads, by: .forwarder)
      do {
        for round in Soak.rounds(short: 2) {
          let forwarder = try await pair.forward(
            UDPForwarder.Faults(lost: 200, repeated: 100, changed: 100, delayed: 20), seed: UInt64(round))
          let outcome = try await pair.exchange(seed: UInt64(round), tcpBytes: 3 << 20, datagrams: 3000)
          let counts = forwarder.stop()
          #expect(outcome.changed == 0, "round \(round)")
          #expect(outcome.datagrams > 1000 && outcome.rekeys > 1, "round \(round): \(outcome)")
          #expect(counts.changed > 0 && counts.repeated > 0 && counts.delayed > 0, "round \(round): \(counts)")
        }
      } catch {
        await pair.stop()
        throw error
      }
      await pair.stop()
    }
  }

  @Test(
    "at full speed, with packets lost on the wire, and each offload missing in turn, no byte arrives that was not sent",
    .enabled(if: NetworkLab.have("nft"), "this test needs the command nft"),
    arguments: ["none", "tso", "uso", "gso", "gro", "all"])
  func fullSpeed(withoutOffloads: String) async throws {
    try await NetworkLab.run { lab in
      let pair = try await TunnelPair(lab, without: withoutOffloads, by: .cable)
      do {
        for round in Soak.rounds(short: 1) {
          // Without loss, then with one of a hundred.
          for isLossy in [false, true] {
            if isLossy { try await pair.lose(percent: 1) }
            let outcome = try await pair.exchange(
              seed: UInt64(round), tcpBytes: isLossy ? 8 << 20 : 64 << 20, datagrams: 20_000)
            #expect(outcome.changed == 0, "round \(round)")
            #expect(outcome.datagrams > 1000, "round \(round): \(outcome)")
          }
          try await pair.lose(percent: 0)
        }
      } catch {
        await pair.stop()
        throw error
      }
      await pair.stop()
    }
  }

  @Test("an interface that was taken down for a while counts what it refused, and carries again when it is up")
  func interfaceDown() async throws {
    try await NetworkLab.run { lab in
      let pair = try await TunnelPair(lab, without: "none", by: .cable)
      do {
        let far = pair.engines[1]
        let name = far.engine.interfaceName
        try await far.namespace.run("ip", "link", "set", name, "down")
        _ = try await pair.engines[0].namespace.attempt(["ping", "-q", "-c", "3", "-i", "0.1", "-W", "1", "10.200.0.2"])
        #expect(await far.engine.status().drops["\(DropReason.interfaceDown)", default: 0] > 0)
        try await far.namespace.run("ip", "link", "set", name, "up")
        let isBack = try await eventually(.seconds(20)) {
          try await far.namespace.attempt(["ping", "-q", "-c", "1", "-W", "1", "10.200.0.1"]).succeeded
        }
        #expect(isBack)
        // IPv6 addresses do not survive it by themselves.
        #expect(try await far.namespace.attempt(["ping", "-q", "-c", "1", "-W", "2", "fd0d:e100:d3c5:1::1"]).succeeded)
      } catch {
        await pair.stop()
        throw error
      }
      await pair.stop()
    }
  }

  @Test(
    "over a way of 1280 bytes that tells nobody, streams and datagrams of all sizes arrive, and senders learn what they may send",
    .enabled(if: NetworkLab.have("nft"), "this test needs the command nft"), arguments: ["none", "all"])
  func narrowWay(withoutOffloads: String) async throws {
    try await NetworkLab.run { lab in
      let pair = try await TunnelPair(lab, without: withoutOffloads, by: .narrowRouter)
      do {
        for round in Soak.rounds(short: 1) {
          let outcome = try await pair.exchange(seed: UInt64(round), tcpBytes: 4 << 20, datagrams: 3000)
          #expect(outcome.changed == 0, "round \(round)")
          #expect(outcome.datagrams > 1000, "round \(round): \(outcome)")
        }
        var dropped: [[UInt64]] = []
        for engine in pair.engines {
          let drops = await engine.engine.status().drops
          dropped.append(
            [DropReason.packetTooLong, .datagramTooLong].map { drops["\($0)", default: 0] })
        }
        // The first sends IPv4, which may not be cut, and is told; the second sends IPv6.
        #expect((1...500).contains(dropped[0][0]) && dropped[0][1] == 0, "\(dropped)")
        #expect(dropped[1] == [0, 0])
      } catch {
        await pair.stop()
        throw error
      }
      await pair.stop()
    }
  }
}
