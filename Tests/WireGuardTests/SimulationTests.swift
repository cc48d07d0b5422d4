import Cryptography
import TestSupport
import Testing
import Wire

@testable import WireGuard

@Suite("Simulation") struct SimulationTests {
  private struct Outcome: Equatable {
    var trace: [UInt8]
    var datagrams: Int
    var handshakes: Int
    var packets: Int
    var seconds: Double
  }

  /// Minutes to hours in the life of a few machines: traffic both ways, loss, duplication, reordering, partitions, moves,
  /// suspends, wrong calendars. Then the network heals, and everything must work again.
  private func live(_ seed: UInt64) throws -> Outcome {
    let random = SeededRandom(seed)
    let count = 2 + Int(seed % 2)
    let network = try SimulatedNetwork(machines: count, seed: seed) { configuration, machine, _ in
      if seed % 3 == 0, machine == 0 { configuration.persistentKeepalive = .seconds(25) }
    }
    var number: UInt32 = 0
    var sent: [UInt32: (to: Int, packet: [UInt8])] = [:]
    func send(from a: Int, to b: Int) {
      number += 1
      sent[number] = (b, network.packet(from: a, to: b, number: number))
      network.send(from: a, to: b, number: number)
    }
    func pair() -> (Int, Int) {
      let a = Int(random.uniform(below: UInt64(count)))
      return (a, (a + 1 + Int(random.uniform(below: UInt64(count - 1)))) % count)
    }
    func tellEverybody() throws {
      for a in 0..<count { for b in 0..<count where a != b { try network.update(a, about: b) { _ in } } }
    }

    for _ in 0..<250 {
      let (a, b) = pair()
      switch random.uniform(below: 24) {
      case 0:
        network.faults.loss = random.uniform(below: 40)
        network.faults.duplication = random.uniform(below: 30)
        network.faults.latency = .milliseconds(Int(random.uniform(below: 200)))
        network.faults.jitter = .milliseconds(Int(random.uniform(below: 400)))
      case 1:
        let isCut = random.uniform(below: 2) == 0
        network.blocks = { isCut && $0.sender == a }
      case 2:
        network.sleep(for: .seconds(Int(random.uniform(below: 4) == 0 ? 600 : random.uniform(below: 200))))
      case 3:
        network[a].address = SocketAddress(network[a].address.ip, port: 1024 + UInt16(random.uniform(below: 60_000)))
      case 4:
        try tellEverybody()
      case 5:
        try network.initiate(from: a, to: b, random.uniform(below: 2) == 0 ? .wanted : .peerChanged)
        try network.initiate(from: b, to: a)
      case 6:
        network[a].wallSkew = .seconds(Int(random.uniform(below: 200)) - 100)
      case 7...9:
        network.run(for: .seconds(Int(random.uniform(below: 60))))
      default:
        for _ in 0..<random.uniform(below: 12) {
          send(from: a, to: b)
          if random.uniform(below: 3) == 0 { send(from: b, to: a) }
          network.run(for: .milliseconds(Int(random.uniform(below: 300))))
        }
      }
      for machine in 0..<count {
        #expect(network[machine].tunnel.device.indices.count <= 4 * (count - 1), "seed \(seed): indices leak")
      }
    }

    network.faults = SimulatedNetwork.Faults()
    network.blocks = { _ in false }
    for machine in 0..<count { network[machine].wallSkew = .seconds(200) }
    try tellEverybody()
    network.run(for: .seconds(200))
    let beforeHealing = number
    for _ in 0..<3 {
      for a in 0..<count { for b in 0..<count where a != b { send(from: a, to: b) } }
      network.run(for: .seconds(8))
    }
    let healed = Set(network.deliveries.map { $0.packet[20..<24].reduce(UInt32(0)) { $0 << 8 | UInt32($1) } })
    for late in (beforeHealing + 1)...number {
      #expect(healed.contains(late), "seed \(seed): packet \(late) is missing")
    }

    var delivered: Set<UInt32> = []
    for delivery in network.deliveries {
      let mark = delivery.packet[20..<24].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
      #expect(
        sent[mark]?.to == delivery.machine && sent[mark]?.packet == delivery.packet, "seed \(seed): packet \(mark)")
      #expect(delivered.insert(mark).inserted, "seed \(seed): packet \(mark) came twice")
    }
    var trace = BLAKE2s()
    for datagram in network.sent {
      trace.update(withUnsafeBytes(of: datagram.at.nanoseconds.littleEndian) { Array($0) })
      trace.update(datagram.bytes.prefix(40))
    }
    return Outcome(
      trace: trace.finalize(), datagrams: network.sent.count, handshakes: network.completed.count,
      packets: delivered.count, seconds: network.elapsed.seconds)
  }

  @Test(
    "whatever happens, packets come at most once and unchanged, and a healed network works",
    arguments: 1...12 as ClosedRange<UInt64>)
  func chaos(seed: UInt64) throws {
    let outcome = try live(seed)
    #expect(outcome.packets > 100 && outcome.handshakes > 4, "seed \(seed) did little: \(outcome)")
  }

  @Test("one seed is one run")
  func reproducible() throws {
    let first = try live(7)
    #expect(try live(7) == first)
    #expect(try live(8) != first)
  }

  @Test("thousands of packets through several rekeys, none lost on a clean network")
  func throughRekeys() throws {
    let network = try SimulatedNetwork(seed: 99)
    let count: UInt32 = 4000
    for number in 0..<count {
      network.send(from: 0, to: 1, number: number)
      if number % 2 == 0 { network.send(from: 1, to: 0, number: number) }
      network.run(for: .milliseconds(150))
    }
    network.run(for: .seconds(5))
    #expect(network.numbers(at: 1) == Array(0..<count))
    #expect(network.numbers(at: 0) == (0..<count).filter { $0 % 2 == 0 })
    let handshakes = network.sent.filter(\.isInitiation).count
    #expect((5...6).contains(handshakes), "600 s have one handshake every 120 s: \(handshakes)")
  }

  @Test("reordering within the window loses nothing")
  func reordering() throws {
    let network = try SimulatedNetwork(seed: 5)
    try network.initiate(from: 0, to: 1)
    network.run(for: .seconds(1))
    network.faults.jitter = .seconds(2)
    network.faults.duplication = 30
    for number in 0..<1500 as Range<UInt32> {
      network.send(from: 0, to: 1, number: number)
      network.run(for: .milliseconds(1))
    }
    network.run(for: .seconds(4))
    let numbers = network.numbers(at: 1)
    #expect(numbers != Array(0..<1500) && numbers.sorted() == Array(0..<1500))
  }
}
