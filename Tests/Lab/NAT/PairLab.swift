import Agent
import Foundation
import Wire

/// A mesh of an anchor with the default relay and of two machines, behind whatever their kinds say. Nothing else is configured.
struct PairLab: Sendable {
  let pair: HostPair
  let world: NATWorld
  let anchor: MeshdHost
  let left: MeshdHost
  let right: MeshdHost
  /// A third machine, which is a relay too, where there is one.
  let member: MeshdHost?
  let leftAddress: IPAddress
  let rightAddress: IPAddress
  let rightAddressV6: IPAddress

  /// Runs `body` when both daemons have reported that they are ready and know of each other.
  ///
  /// - Parameter withMemberRelay: adds a third machine, which others reach and which relays as well.
  static func run<Result: Sendable>(
    _ pair: HostPair, withMemberRelay: Bool = false, _ body: (PairLab) async throws -> Result
  ) async throws -> Result {
    try await NATWorld.run([pair.left, pair.right] + (withMemberRelay ? [.open] : [])) { world in
      let anchor = try MeshdHost(world.anchor, in: world.lab.folder)
      let hosts = try world.hosts.map { try MeshdHost($0.namespace, in: world.lab.folder) }
      do {
        let lab = try await PairLab(pair, world, anchor, hosts)
        return try await body(lab)
      } catch {
        for host in [anchor] + hosts { print(host.logTail) }
        throw error
      }
    }
  }

  private init(_ pair: HostPair, _ world: NATWorld, _ anchor: MeshdHost, _ hosts: [MeshdHost]) async throws {
    self.pair = pair
    self.world = world
    self.anchor = anchor
    (left, right) = (hosts[0], hosts[1])
    member = hosts.count > 2 ? hosts[2] : nil
    try await anchor.meshd("up", "--create", "lab")
    try await withThrowingTaskGroup { group in
      for (index, host) in hosts.enumerated() {
        group.addTask {
          let did = try QuickStart.identity(in: try await host.meshd("init"))
          let line = try QuickStart.joinLine(in: try await anchor.meshd("peer", "add", did))
          try await host.run(line + (index == 2 ? ["--relay"] : []))
        }
      }
      try await group.waitForAll()
    }
    var addresses: [[IPAddress]] = []
    for (host, other) in [(hosts[0], hosts[1]), (hosts[1], hosts[0])] {
      let name = try await other.status("did")
      let isReady = try await eventually(.seconds(30)) {
        let status = try await host.currentStatus()
        return status["routingPhase"]?.string == "ready"
          && status["peers"]?.array?.contains { $0["nodeDID"]?.string == name } == true
      }
      guard isReady else { throw Missing(what: "the other machine", in: host.namespace.label) }
      addresses.append(try await [host.status("meshIP"), host.status("meshIPv6")].compactMap { IPAddress($0) })
    }
    guard addresses.allSatisfy({ $0.count == 2 }) else { throw Missing(what: "addresses", in: "the status") }
    (leftAddress, rightAddress, rightAddressV6) = (addresses[0][0], addresses[1][0], addresses[1][1])
  }

  /// Waits until both machines are connected to so many relays.
  func awaitRelays(_ count: Int) async throws {
    for host in [left, right] {
      let areConnected = try await eventually(.seconds(90), every: .milliseconds(200)) {
        let relays = try await host.currentStatus()["relays"]?.array ?? []
        return relays.filter { $0["connected"]?.bool == true }.count >= count
      }
      let seen = try await host.currentStatus()["relays"]?.text ?? "none"
      guard areConnected else { throw Missing(what: "\(count) connected relays", in: seen) }
    }
  }

  /// The machine whose relay carries what the left one sends to the right one, and its addresses.
  func carryingRelay() async throws -> (host: MeshdHost, addresses: [String]) {
    let peers = try await left.currentStatus()["peers"]?.array
    let id = peers?.first { $0["meshIP"]?.string == "\(rightAddress)" }?["relay"]?.integer
    guard let id else { throw Missing(what: "a relay", in: "the status of the left machine") }
    // The anchor's relay is the first of every network.
    if id == 1 { return (anchor, [NATWorld.anchorAddress, NATWorld.anchorAddressV6]) }
    guard let member else { throw Missing(what: "relay \(id)", in: "the lab") }
    return (member, [world.hosts[2].address, world.hosts[2].addressV6].compactMap { $0 })
  }

  /// Prints what the daemons know, for those who look for a fault.
  func printState() async throws {
    for host in [anchor, left, right] {
      let status = try await host.currentStatus()
      for member in ["peers", "relays", "localEndpoints"] {
        print("    \(host.namespace.label): \(member) \(status[member]?.text ?? "none")")
      }
      print(host.logTail)
    }
  }

  /// What the daemons say of their way to each other: that of the left machine, that of the right one.
  func paths() async throws -> [String?] {
    var paths: [String?] = []
    for (host, address) in [(left, rightAddress), (right, leftAddress)] {
      let peers = try await host.currentStatus()["peers"]?.array
      paths.append(peers?.first { $0["meshIP"]?.string == "\(address)" }?["path"]?.string)
    }
    return paths
  }

  /// Sends so much by TCP from the left machine to a mesh address of the right one, which checks it.
  func carries(_ bytes: Int, to address: IPAddress) async throws -> Bool {
    let target = SocketAddress(address, port: 7001).description
    let payload = CheckedPayload(seed: 7)
    let listener = try await inNamespace(right.namespace) { try LabSocket.listener(target) }
    async let isWhole = inNamespace(right.namespace) { try LabSocket.receiveStream(listener, payload, bytes) }
    try await inNamespace(left.namespace) { try LabSocket.sendStream(target, payload, bytes) }
    return try await isWhole
  }

  /// How much the anchor's network has brought to it so far. What goes through its relay is part of that.
  func bytesAtAnchor() async throws -> Int {
    let text = try await anchor.namespace.run("sh", "-c", "cat /sys/class/net/eth*/statistics/rx_bytes")
    guard let count = Int(text.trimmingCharacters(in: .whitespacesAndNewlines)) else {
      throw Missing(what: "a count of bytes", in: text)
    }
    return count
  }
}

extension MeshdHost {
  /// `meshd status --json`, asked of the daemon by the socket that the command uses: often, and without a process each time.
  func currentStatus() async throws -> JSONValue {
    let client = ControlSocketClient(try StateDirectory(opening: state.path))
    guard let answer = try await inNamespace(namespace, { try client.send(.status) }) else {
      throw Missing(what: "a daemon", in: namespace.label)
    }
    return answer.body
  }
}
