import Cryptography
import TestSupport
import Testing
import Wire

@testable import WireGuard

/// Machines with tunnels, joined by a network that loses, duplicates and delays, under one virtual clock. The seed alone
/// decides what happens.
final class SimulatedNetwork {
  struct Faults {
    /// Of a hundred datagrams, so many are lost, and so many come twice.
    var loss: UInt64 = 0
    var duplication: UInt64 = 0
    var latency: Duration = .milliseconds(10)
    /// Up to this is added to the latency, which reorders.
    var jitter: Duration = .zero
  }

  /// A datagram as it was put on the wire.
  struct Datagram {
    let at: Instant
    let sender: Int
    let destination: SocketAddress
    let bytes: [UInt8]

    var type: UInt8 { bytes.first ?? 0 }
    var isInitiation: Bool { type == 1 }
    var isResponse: Bool { type == 2 }
    var isCookieReply: Bool { type == 3 }
    var isKeepalive: Bool { type == 4 && bytes.count == 32 }
    var isData: Bool { type == 4 && bytes.count > 32 }
  }

  /// An IP packet that came out of a tunnel.
  struct Delivery {
    let at: Instant
    let machine: Int
    let packet: [UInt8]
  }

  final class Machine {
    let tunnel: Tunnel
    let privateKey: X25519PrivateKey
    /// Where it sends from, and is found.
    var address: SocketAddress
    let meshAddress: IPAddress
    /// How wrong its calendar is.
    var wallSkew: Duration = .zero
    var peers: [Int: PeerID] = [:]

    init(tunnel: Tunnel, privateKey: X25519PrivateKey, address: SocketAddress, meshAddress: IPAddress) {
      self.tunnel = tunnel
      self.privateKey = privateKey
      self.address = address
      self.meshAddress = meshAddress
    }
  }

  private struct InFlight {
    let arrival: Instant
    let order: Int
    let source: SocketAddress
    let destination: SocketAddress
    let bytes: [UInt8]
  }

  static let start = Instant(nanoseconds: 1_000_000_000_000)

  let random: SeededRandom
  var faults = Faults()
  /// What decides, beyond chance, whether a datagram is lost.
  var blocks: (Datagram) -> Bool = { _ in false }
  private(set) var now = SimulatedNetwork.start
  private(set) var machines: [Machine] = []
  private(set) var sent: [Datagram] = []
  private(set) var deliveries: [Delivery] = []
  private(set) var completed: [(at: Instant, machine: Int)] = []
  private var inFlight: [InFlight] = []
  private var order = 0

  init(
    machines count: Int = 2, seed: UInt64 = 1, configuration: Device.Configuration = Device.Configuration(),
    configure: (inout PeerConfiguration, _ machine: Int, _ peer: Int) -> Void = { _, _, _ in }
  ) throws {
    random = SeededRandom(seed)
    for number in 0..<count {
      let own = SeededRandom(seed &* 1000 &+ UInt64(number) &+ 17)
      let key = X25519PrivateKey(random: own)
      machines.append(
        Machine(
          tunnel: Tunnel(privateKey: key, random: own, configuration: configuration), privateKey: key,
          address: SocketAddress(IPAddress(v4: 0xc000_0200 + UInt32(number)), port: 51820),
          meshAddress: IPAddress(v4: 0x0ac8_0000 + UInt32(number))))
    }
    for (a, machine) in machines.enumerated() {
      for (b, peer) in machines.enumerated() where a != b {
        var configuration = PeerConfiguration(
          publicKey: peer.privateKey.publicKey, allowedIPs: [IPPrefix(host: peer.meshAddress)],
          candidates: [peer.address])
        configure(&configuration, a, b)
        machine.peers[b] = try machine.tunnel.addPeer(configuration, now: now)
      }
    }
  }

  subscript(machine: Int) -> Machine { machines[machine] }

  func wallTime(of machine: Int) -> WallTime {
    WallTime(seconds: 1_800_000_000) + (now - SimulatedNetwork.start) + machines[machine].wallSkew
  }

  var elapsed: Duration { now - SimulatedNetwork.start }

  /// An IPv4 packet between two machines, with this number in it.
  func packet(from a: Int, to b: Int, number: UInt32 = 0, payload: Int = 40) -> [UInt8] {
    var writer = ByteWriter()
    writer.append([0x45, 0])
    writer.bigEndian(UInt16(20 + payload))
    writer.append([0, 0, 0, 0, 64, 17, 0, 0])
    writer.append(machines[a].meshAddress.bytes)
    writer.append(machines[b].meshAddress.bytes)
    writer.bigEndian(number)
    writer.append([UInt8](repeating: UInt8(truncatingIfNeeded: number), count: payload - 4))
    return writer.bytes
  }

  // MARK: Events

  func send(from a: Int, to b: Int, number: UInt32 = 0) {
    take(machines[a].tunnel.send(packet(from: a, to: b, number: number), now: now, wallTime: wallTime(of: a)), a)
  }

  func initiate(from a: Int, to b: Int, _ reason: Device.HandshakeReason = .wanted) throws {
    let peer = try #require(machines[a].peers[b])
    take(machines[a].tunnel.initiate(peer, reason, now: now, wallTime: wallTime(of: a)), a)
  }

  func update(_ a: Int, about b: Int, _ change: (inout PeerConfiguration) -> Void) throws {
    let peer = try #require(machines[a].peers[b])
    var configuration = PeerConfiguration(
      publicKey: machines[b].privateKey.publicKey, allowedIPs: [IPPrefix(host: machines[b].meshAddress)],
      candidates: [machines[b].address])
    change(&configuration)
    take(try machines[a].tunnel.updatePeer(peer, configuration, now: now, wallTime: wallTime(of: a)), a)
  }

  /// Puts bytes of a stranger on the wire, at once.
  func inject(_ bytes: [UInt8], from source: SocketAddress, into machine: Int) {
    take(machines[machine].tunnel.receive(bytes, from: source, now: now, wallTime: wallTime(of: machine)), machine)
  }

  func status(_ a: Int, of b: Int) -> PeerStatus? {
    machines[a].peers[b].flatMap { machines[a].tunnel.status(of: $0, now: now) }
  }

  // MARK: Time

  func run(for duration: Duration) { run(until: now + duration) }

  /// Runs everything that is due up to this moment, in order.
  func run(until end: Instant) {
    while true {
      let arrival = inFlight.indices.min {
        (inFlight[$0].arrival, inFlight[$0].order) < (inFlight[$1].arrival, inFlight[$1].order)
      }
      let timer = machines.indices.compactMap { machine in machines[machine].tunnel.nextDeadline.map { (machine, $0) } }
        .min { $0.1 < $1.1 }
      let next = [arrival.map { inFlight[$0].arrival }, timer?.1].compactMap { $0 }.min()
      guard let next, next <= end else {
        now = max(now, end)
        return
      }
      now = max(now, next)
      if let arrival, inFlight[arrival].arrival <= now {
        deliver(inFlight.remove(at: arrival))
      } else if let timer {
        take(machines[timer.0].tunnel.advance(now: now, wallTime: wallTime(of: timer.0)), timer.0)
      }
    }
  }

  /// The machines sleep: the clock goes on and nothing runs. What was in flight is lost.
  func sleep(for duration: Duration) {
    inFlight = []
    now = now + duration
  }

  private func deliver(_ datagram: InFlight) {
    for machine in machines.indices where machines[machine].address == datagram.destination {
      let output = machines[machine].tunnel.receive(
        datagram.bytes, from: datagram.source, now: now, wallTime: wallTime(of: machine))
      take(output, machine)
    }
  }

  private func take(_ output: Tunnel.Output, _ machine: Int) {
    for packet in output.packets { deliveries.append(Delivery(at: now, machine: machine, packet: packet.bytes)) }
    for _ in output.completedHandshakes { completed.append((now, machine)) }
    for datagram in output.datagrams {
      let record = Datagram(at: now, sender: machine, destination: datagram.destination, bytes: datagram.bytes)
      sent.append(record)
      if blocks(record) || random.uniform(below: 100) < faults.loss { continue }
      let copies = random.uniform(below: 100) < faults.duplication ? 2 : 1
      for _ in 0..<copies {
        let delay = Duration.nanoseconds(Int64(random.uniform(below: UInt64(faults.jitter.nanoseconds) + 1)))
        order += 1
        inFlight.append(
          InFlight(
            arrival: now + faults.latency + delay, order: order, source: machines[machine].address,
            destination: datagram.destination, bytes: datagram.bytes))
      }
    }
  }

  // MARK: What was seen

  func sent(by machine: Int, _ isWanted: (Datagram) -> Bool) -> [Datagram] {
    sent.filter { $0.sender == machine && isWanted($0) }
  }

  func forgetSent() { sent = [] }

  /// The numbers in the packets that a machine was given, in order.
  func numbers(at machine: Int) -> [UInt32] {
    deliveries.filter { $0.machine == machine }.map { $0.packet[20..<24].reduce(0) { $0 << 8 | UInt32($1) } }
  }
}

extension Duration {
  static func seconds(_ whole: Int, milliseconds: Int) -> Duration { .seconds(whole) + .milliseconds(milliseconds) }
}
