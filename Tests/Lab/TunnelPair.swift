import CLinux
import Cryptography
import DataPath
import Engine
import Foundation
import Glibc
import Netmap
import TestSupport
import Wire

/// Two engines of ours that reach each other, by a cable or by way of a host between them.
struct TunnelPair {
  /// What lies between the two.
  enum Way {
    case cable
    /// A host with a program that forwards datagrams.
    case forwarder
    /// A router that passes nothing above 1280 bytes, and tells nobody. The two find paths, and so find out.
    case narrowRouter
  }

  static let wire = ["192.0.2.1", "198.51.100.1"]
  private static let middle = ["192.0.2.254", "198.51.100.254"]
  private static let port: UInt16 = 41641

  let engines: [LabEngine]
  /// Where the forwarder is, if there is one.
  private let forwarding: NetworkNamespace?

  /// - Parameter without: the name of an offload that both leave out.
  init(_ lab: NetworkLab, without: String, by way: Way) async throws {
    let a = try await lab.namespace("a")
    let b = try await lab.namespace("b")
    var middle: NetworkNamespace?
    if way == .cable {
      try await lab.connect(a, ["\(Self.wire[0])/24"], b, ["\(Self.wire[1])/24"])
      try await a.run("ip", "route", "add", "\(Self.wire[1])/32", "dev", "eth1a")
      try await b.run("ip", "route", "add", "\(Self.wire[0])/32", "dev", "eth1b")
    } else {
      let between = try await lab.namespace("m")
      try await lab.connect(a, ["\(Self.wire[0])/24"], between, ["\(Self.middle[0])/24"])
      try await lab.connect(b, ["\(Self.wire[1])/24"], between, ["\(Self.middle[1])/24"])
      if way == .narrowRouter { try await Self.makeNarrow(between, hosts: [a, b]) } else { middle = between }
    }
    forwarding = middle
    let offloads = EngineConfiguration.offloads(without: [without])
    var engines: [LabEngine] = []
    for (index, namespace) in [a, b].enumerated() {
      engines.append(
        try await LabEngine.start(
          in: namespace, port: Self.port,
          addresses: ["10.200.0.\(index + 1)/32", "fd0d:e100:d3c5:1::\(index + 1)/128"], offloads: offloads,
          findsPaths: way == .narrowRouter))
    }
    self.engines = engines
    for index in 0...1 { try await apply(index, revision: 0) }
    guard way != .forwarder else { return }
    _ = try await eventually(.seconds(20)) {
      try await a.attempt(["ping", "-q", "-c", "1", "-W", "1", "10.200.0.2"]).succeeded
    }
  }

  private static func makeNarrow(_ router: NetworkNamespace, hosts: [NetworkNamespace]) async throws {
    try await router.enableForwarding()
    // The host behind it does not know of it either: its own end stays wide.
    try await router.run("ip", "link", "set", "eth2b", "mtu", "1280")
    try await router.run(
      "nft",
      """
      add table inet silent
      add chain inet silent leaving { type filter hook output priority 0; }
      add rule inet silent leaving meta l4proto { icmp, ipv6-icmp } drop
      """)
    for (host, gateway) in zip(hosts, middle) { try await host.addRoute("default", via: gateway) }
  }

  func stop() async {
    for engine in engines { await engine.stop() }
  }

  /// Gives an engine its netmap; with a new revision it begins a handshake at once.
  private func apply(_ index: Int, revision: UInt64) async throws {
    let other = engines[1 - index]
    let address = forwarding == nil ? Self.wire[1 - index] : Self.middle[index]
    guard let endpoint = SocketAddress("\(address):\(Self.port)") else { throw CocoaError(.formatting) }
    try await engines[index].apply([
      Peer(
        key: other.key.publicKey, name: "peer", addresses: other.addresses, allowedIPs: other.addresses,
        endpoints: [endpoint], discoKey: other.discoKey?.publicKey, revision: revision)
    ])
  }

  /// Starts to forward between the two.
  func forward(_ faults: UDPForwarder.Faults, seed: UInt64) async throws -> UDPForwarder {
    guard let forwarding else { throw CocoaError(.featureUnsupported) }
    let targets = Self.wire.compactMap { SocketAddress("\($0):\(Self.port)") }
    let sockets = try await inNamespace(forwarding) {
      try Self.middle.map { try LabSocket.udp(bound: "\($0):\(Self.port)") }
    }
    let forwarder = UDPForwarder(
      sockets: (sockets[0], sockets[1]), targets: (targets[0], targets[1]), faults: faults, seed: seed)
    forwarder.start()
    return forwarder
  }

  /// Loses so many of a hundred datagrams, or trains of them, on the way to each of the two.
  func lose(percent: Int) async throws {
    for engine in engines {
      _ = try await engine.namespace.attempt(["nft", "delete", "table", "inet", "soak"])
      guard percent > 0 else { continue }
      try await engine.namespace.run(
        "nft",
        """
        add table inet soak
        add chain inet soak arriving { type filter hook input priority 0; }
        add rule inet soak arriving udp dport \(Self.port) numgen random mod 100 < \(percent) drop
        """)
    }
  }

  // MARK: Traffic

  struct Outcome: Sendable {
    /// Streams and datagrams that were not what was sent.
    var changed = 0
    /// Datagrams that arrived.
    var datagrams = 0
    /// Handshakes while all that went on.
    var rekeys = 0
  }

  /// TCP one way over IPv4 and the other way over IPv6, and datagrams of all sizes, singly and in trains; meanwhile the two agree on new
  /// keys again and again.
  func exchange(seed: UInt64, tcpBytes: Int, datagrams: Int) async throws -> Outcome {
    let payload = CheckedPayload(seed: seed)
    let key = engines[1].key.publicKey
    let before = engines[0].handshakes(with: key)
    let (a, b) = (engines[0].namespace, engines[1].namespace)
    return try await withThrowingTaskGroup(of: Outcome.self) { group in
      group.addTask { try await stream(payload, from: a, to: b, "10.200.0.2:7001", tcpBytes) }
      group.addTask { try await stream(payload, from: b, to: a, "[fd0d:e100:d3c5:1::1]:7002", tcpBytes) }
      group.addTask { try await scatter(payload, from: a, to: b, "10.200.0.2:7003", datagrams) }
      group.addTask { try await scatter(payload, from: b, to: a, "[fd0d:e100:d3c5:1::1]:7004", datagrams) }
      let rekeying = Task {
        var revision: UInt64 = 0
        while !Task.isCancelled {
          try await Task.sleep(for: .milliseconds(500))
          revision += 1
          try await apply(0, revision: seed << 32 | revision)
        }
      }
      defer { rekeying.cancel() }
      var outcome = Outcome()
      for try await part in group {
        outcome.changed += part.changed
        outcome.datagrams += part.datagrams
      }
      outcome.rekeys = engines[0].handshakes(with: key) - before
      return outcome
    }
  }

  private func stream(
    _ payload: CheckedPayload, from: NetworkNamespace, to: NetworkNamespace, _ address: String, _ bytes: Int
  ) async throws -> Outcome {
    let listener = try await inNamespace(to) { try LabSocket.listener(address) }
    async let isWhole = inNamespace(to) { try LabSocket.receiveStream(listener, payload, bytes) }
    try await inNamespace(from) { try LabSocket.sendStream(address, payload, bytes) }
    return Outcome(changed: try await isWhole ? 0 : 1)
  }

  private func scatter(
    _ payload: CheckedPayload, from: NetworkNamespace, to: NetworkNamespace, _ address: String, _ count: Int
  ) async throws -> Outcome {
    let receiver = try await inNamespace(to) { try LabSocket.udp(bound: address) }
    async let received = inNamespace(to) { LabSocket.receiveDatagrams(receiver, payload) }
    try await inNamespace(from) { try LabSocket.sendDatagrams(address, payload, count) }
    let (whole, changed) = try await received
    return Outcome(changed: changed, datagrams: whole)
  }
}

/// Runs blocking calls on a thread of its own inside the namespace.
func inNamespace<Result: Sendable>(
  _ namespace: NetworkNamespace, _ body: @escaping @Sendable () throws -> Result
) async throws -> Result {
  try await withCheckedThrowingContinuation { continuation in
    Thread.detachNewThread {
      guard clinux_enter_network_namespace(namespace.path) == 0 else {
        return continuation.resume(throwing: POSIXError(.ENOENT))
      }
      continuation.resume(with: Swift.Result { try body() })
    }
  }
}
