import Cryptography
import Engine
import Netmap
import Testing
import Wire

/// What an engine does to the host it runs on, and what it leaves behind.
@Suite(
  "an engine in a network of its own", .enabled(if: NetworkLab.obstacle == nil, "\(NetworkLab.obstacle ?? "")"))
struct EngineInNamespaceTests {
  /// A machine of the mesh: number n has the addresses …n, on a cable segment with 192.0.2.n and 2001:db8::n.
  private func start(_ number: Int, _ lab: NetworkLab, on bridge: NetworkNamespace) async throws -> LabEngine {
    let host = try await lab.namespace("h\(number)")
    try await lab.plug(host, ["192.0.2.\(number)/24", "2001:db8::\(number)/64"], into: bridge)
    return try await LabEngine.start(
      in: host, port: nil, addresses: ["10.200.0.\(number)/32", "fd0d:e100:d3c5:1::\(number)/128"])
  }

  private func peer(_ engine: LabEngine, _ number: Int, revision: UInt64 = 0) -> Peer {
    Peer(
      key: engine.key.publicKey, name: "h\(number)", addresses: engine.addresses, allowedIPs: engine.addresses,
      endpoints: [SocketAddress("192.0.2.\(number):\(engine.engine.port)")!], revision: revision)
  }

  /// Runs the body with so many engines that all know each other, and stops them whatever happens.
  private func withMesh(_ count: Int, _ body: (NetworkLab, [LabEngine]) async throws -> Void) async throws {
    try await NetworkLab.run { lab in
      let bridge = try await lab.bridge("br")
      var engines: [LabEngine] = []
      do {
        for number in 1...count { engines.append(try await start(number, lab, on: bridge)) }
        for (index, engine) in engines.enumerated() {
          let others = engines.indices.filter { $0 != index }
          try await engine.apply(others.map { peer(engines[$0], $0 + 1) })
        }
        try await body(lab, engines)
      } catch {
        for engine in engines { await engine.stop() }
        throw error
      }
      for engine in engines { await engine.stop() }
    }
  }

  private func reaches(_ from: LabEngine, _ address: String, count: Int = 5) async throws -> Bool {
    try await from.namespace.attempt(["ping", "-q", "-i", "0.1", "-W", "1", "-c", "\(count)", address]).succeeded
  }

  @Test("packets to a peer that finds no paths fit the link to it, also when that becomes narrower while it is used")
  func narrowLink() async throws {
    try await withMesh(2) { _, engines in
      let here = engines[0].namespace
      #expect(try await reaches(engines[0], "10.200.0.2"))
      for engine in engines {
        try await engine.namespace.run(
          "sh", "-ec", "for link in /sys/class/net/eth*; do ip link set \"${link##*/}\" mtu 1300; done")
      }
      // As long as the tunnel takes: split inside, or refused with the length that fits.
      let isSplit = try await eventually(.seconds(20)) {
        try await here.attempt(["ping", "-q", "-W", "1", "-c", "1", "-M", "dont", "-s", "1252", "10.200.0.2"]).succeeded
      }
      #expect(isSplit)
      let isTold = try await eventually(.seconds(20)) {
        let outcome = try await here.attempt(["ping", "-W", "1", "-c", "1", "-M", "do", "-s", "1252", "10.200.0.2"])
        return (outcome.output + outcome.errors).replacing(" ", with: "").contains("mtu=1240")
      }
      #expect(isTold)
    }
  }

  @Test("it makes the device, addresses and routes that the netmap asks for, and takes all of them away")
  func leavesNothing() async throws {
    try await withMesh(2) { _, engines in
      let here = engines[0].namespace
      let name = engines[0].engine.interfaceName
      #expect(name == "mesh0")
      #expect(try await here.run("ip", "link", "show", name).contains("mtu 1280"))
      let addresses = try await here.run("ip", "-o", "address", "show", "dev", name)
      #expect(addresses.contains("10.200.0.1/32") && addresses.contains("fd0d:e100:d3c5:1::1/128"))
      // Neither a link-local address nor one that waits for duplicate detection.
      #expect(!addresses.contains("fe80") && !addresses.contains("tentative"))
      #expect(try await here.run("ip", "-4", "route", "show", "dev", name).contains("10.200.0.2"))
      #expect(try await here.run("ip", "-6", "route", "show", "dev", name).contains("fd0d:e100:d3c5:1::2"))
      // The peer's routes go with the peer, the own addresses stay.
      try await engines[0].apply([])
      #expect(!(try await here.run("ip", "-4", "route", "show", "dev", name).contains("10.200.0.2")))
      #expect(try await here.run("ip", "-o", "address", "show", "dev", name).contains("10.200.0.1/32"))
      await engines[0].stop()
      #expect(!(try await here.attempt(["ip", "link", "show", name]).succeeded))
      #expect(!(try await here.run("ip", "-4", "route", "show", "table", "all").contains("10.200")))
      #expect(!(try await here.run("ip", "-6", "route", "show", "table", "all").contains("fd0d")))
      await #expect(throws: EngineError.stopped) { try await engines[0].apply([]) }
    }
  }

  @Test("an engine that is given another address keeps its routes, and its peers reach it there")
  func anotherAddress() async throws {
    try await withMesh(2) { _, engines in
      #expect(try await reaches(engines[0], "10.200.0.2"))
      var moved = peer(engines[0], 1)
      moved.addresses = [IPPrefix("10.200.0.9/32")!]
      moved.allowedIPs = moved.addresses
      try await engines[0].apply([peer(engines[1], 2)], addresses: moved.addresses)
      try await engines[1].apply([moved])
      let here = engines[0].namespace
      #expect(try await here.run("ip", "-4", "route", "show", "dev", "mesh0").contains("10.200.0.2"))
      #expect(!(try await here.run("ip", "-o", "address", "show", "dev", "mesh0").contains("10.200.0.1/32")))
      #expect(try await reaches(engines[1], "10.200.0.9"))
      #expect(try await reaches(engines[0], "10.200.0.2"))
    }
  }

  @Test(
    "what another program takes from the interface comes back, and what it keeps for itself is told of",
    .timeLimit(.minutes(10)))
  func taken() async throws {
    try await withMesh(2) { _, engines in
      let here = engines[0].namespace
      func routes() async throws -> String { try await here.run("ip", "-4", "route", "show", "dev", "mesh0") }
      let before = try await routes()
      #expect(before.contains("10.200.0.0/16"))
      for loss in [
        ["route", "del", "10.200.0.0/16", "dev", "mesh0"], ["-4", "route", "flush", "dev", "mesh0"],
        ["address", "flush", "dev", "mesh0"],
      ] {
        try await here.run(["ip"] + loss)
        let isBack = try await eventually(.seconds(20)) { try await routes() == before }
        #expect(isBack, "\(loss)")
        #expect(try await reaches(engines[0], "fd0d:e100:d3c5:1::2"), "\(loss)")
        #expect(try await reaches(engines[0], "10.200.0.2"), "\(loss)")
      }
      #expect(await engines[0].engine.status().refusedRoutes.isEmpty)
      try await here.run("sh", "-c", "ip route del 10.200.0.0/16 && ip route add 10.200.0.0/16 dev lo")
      let isTold = try await eventually(.seconds(20)) {
        await engines[0].engine.status().refusedRoutes.keys.contains(IPPrefix("10.200.0.0/16")!)
      }
      #expect(isTold)
      try await here.run("ip", "route", "del", "10.200.0.0/16", "dev", "lo")
      let isThere = try await eventually(.seconds(20)) { try await routes() == before }
      #expect(isThere)
      #expect(await engines[0].engine.status().refusedRoutes.isEmpty)
    }
  }

  @Test("removing one peer leaves the others' sessions alone")
  func removesOne() async throws {
    try await withMesh(3) { _, engines in
      #expect(try await reaches(engines[0], "10.200.0.2"))
      #expect(try await reaches(engines[0], "fd0d:e100:d3c5:1::3"))
      let key = engines[1].key.publicKey
      let before = engines[0].handshakes(with: key)
      try await engines[0].apply([peer(engines[1], 2)])
      #expect(try await reaches(engines[0], "10.200.0.2"))
      #expect(engines[0].handshakes(with: key) == before)
      #expect(!(try await reaches(engines[2], "10.200.0.1", count: 2)))
      #expect(await engines[0].engine.status().peers.map(\.key) == [key])
    }
  }

  @Test("deny-all keeps out what others begin, and lets in the answers to what we begin")
  func denies() async throws {
    try await withMesh(2) { _, engines in
      #expect(try await reaches(engines[1], "10.200.0.1"))
      try await engines[0].apply([peer(engines[1], 2)], filter: .denyAll)
      #expect(!(try await reaches(engines[1], "10.200.0.1", count: 2)))
      #expect(try await reaches(engines[0], "10.200.0.2"))
    }
  }

  @Test("a machine that starts again with its key is reached at once when its record changes")
  func restarts() async throws {
    try await withMesh(2) { lab, engines in
      #expect(try await reaches(engines[0], "10.200.0.2"))
      await engines[1].stop()
      let again = try await LabEngine.start(
        in: engines[1].namespace, port: nil, addresses: engines[1].addresses.map(\.description), key: engines[1].key)
      do {
        // Only the other side knows an address: its initiation is what brings them together.
        try await again.apply([
          Peer(
            key: engines[0].key.publicKey, name: "h1", addresses: engines[0].addresses,
            allowedIPs: engines[0].addresses)
        ])
        try await engines[0].apply([peer(again, 2, revision: 1)])
        #expect(try await reaches(again, "10.200.0.1"))
      } catch {
        await again.stop()
        throw error
      }
      await again.stop()
    }
  }

  @Test("it says what stands in its way", .timeLimit(.minutes(10)))
  func obstacles() async throws {
    try await withMesh(1) { lab, engines in
      let taken = engines[0]
      let path = taken.namespace.path
      func configuration(_ change: (inout EngineConfiguration) -> Void) -> EngineConfiguration {
        var configuration = EngineConfiguration(
          privateKey: X25519PrivateKey(random: SystemRandom()), networkNamespace: path)
        change(&configuration)
        return configuration
      }
      await #expect(throws: EngineError.interfaceNameTaken("mesh0")) {
        try await Engine(configuration: configuration { $0.interfaceName = "mesh0" })
      }
      await #expect(throws: EngineError.portInUse(41641)) {
        try await Engine(configuration: configuration { $0.port = 41641 })
      }
      await #expect(throws: EngineError.mtuOutOfRange(1279)) {
        try await Engine(configuration: configuration { $0.mtu = 1279 })
      }
      let second = try await LabEngine.start(
        in: taken.namespace, port: nil, addresses: taken.addresses.map(\.description), key: taken.key)
      // Without asking for anything it finds a name and a port beside the first.
      #expect(second.engine.interfaceName == "mesh1" && second.engine.port != 41641)
      await #expect(throws: EngineError.addressInUse(IPAddress("10.200.0.1")!, interface: "mesh0")) {
        try await second.apply([])
      }
      await second.stop()
    }
  }

  @Test(
    "it tells where it can be reached, when that changes, and when its device is taken away", .timeLimit(.minutes(10)))
  func tells() async throws {
    try await NetworkLab.run { lab in
      let bridge = try await lab.bridge("br")
      let host = try await lab.namespace("h1")
      let link = try await lab.plug(host, ["192.0.2.1/24"], into: bridge)
      let configuration = EngineConfiguration(
        privateKey: X25519PrivateKey(random: SystemRandom()), networkNamespace: host.path)
      let engine = try await Engine(configuration: configuration)
      var seen: [EngineEvent] = []
      var tellsOfListeners = false
      for await event in engine.events {
        // What listens on all addresses is reached under another one, too.
        if event == .hostAddressesChanged {
          tellsOfListeners = true
          continue
        }
        seen.append(event)
        switch seen.count {
        case 1: try await host.addAddress("198.51.100.7/24", to: link)
        case 2: try await host.run("ip", "link", "delete", engine.interfaceName)
        default: break
        }
        if case .failed = event { break }
      }
      #expect(
        Array(seen.prefix(2)) == [
          .reach(Reach(hostAddresses: [SocketAddress("192.0.2.1:41641")!])),
          .reach(Reach(hostAddresses: [SocketAddress("192.0.2.1:41641")!, SocketAddress("198.51.100.7:41641")!])),
        ])
      #expect(tellsOfListeners)
      await engine.stop()
    }
  }
}
