import Glibc
import Wire

/// What a NAT does to UDP, as RFC 4787 tells them apart, found by looking.
struct NATBehaviour: Hashable, Sendable {
  enum Mapping: Sendable { case independent, dependent }
  /// From whom a packet gets to a mapped port.
  enum Filtering: Sendable { case everybody, knownAddresses, knownPorts }

  var mapping: Mapping
  var filtering: Filtering
  /// Whether two sockets of one host reach each other by their public addresses.
  var turnsAround: Bool

  /// What each kind of host must be, `nil`: no UDP.
  static func expected(of kind: HostKind) -> NATBehaviour? {
    switch kind {
    case .open, .ipv6Only, .fullCone:
      NATBehaviour(mapping: .independent, filtering: .everybody, turnsAround: true)
    case .addressRestricted: NATBehaviour(mapping: .independent, filtering: .knownAddresses, turnsAround: false)
    case .portRestricted, .double, .cgnat, .upnp:
      NATBehaviour(mapping: .independent, filtering: .knownPorts, turnsAround: false)
    case .symmetric: NATBehaviour(mapping: .dependent, filtering: .knownPorts, turnsAround: false)
    case .blocked: nil
    }
  }

  /// Watches a host from two addresses and two ports of each. `nil`: nothing comes out.
  static func observe(_ host: NATHost, in world: NATWorld) async throws -> NATBehaviour? {
    let stage = try await Stage(host, world)
    return try await inNamespace(world.internet) {
      defer { stage.close() }
      return stage.observe()
    }
  }

  /// The sockets of one observation.
  private struct Stage: Sendable {
    let witnesses: [ProbeSocket]
    let addresses: [SocketAddress]
    let host: [ProbeSocket]

    init(_ subject: NATHost, _ world: NATWorld) async throws {
      let isV4 = subject.kind.hasIPv4
      var witnesses: [ProbeSocket] = []
      var addresses: [SocketAddress] = []
      for name in isV4 ? NATWorld.witnesses : NATWorld.witnessesV6 {
        for port in [3478, 3479] {
          let text = isV4 ? "\(name):\(port)" : "[\(name)]:\(port)"
          guard let address = SocketAddress(text) else { throw Missing(what: "an address", in: text) }
          addresses.append(address)
          witnesses.append(try await .open(text, in: world.internet))
        }
      }
      var host: [ProbeSocket] = []
      for port in 41641...41643 {
        host.append(try await .open(isV4 ? "0.0.0.0:\(port)" : "[::]:\(port)", in: subject.namespace))
      }
      self.witnesses = witnesses
      self.addresses = addresses
      self.host = host
    }

    func close() {
      for socket in witnesses + host { socket.close() }
    }

    func observe() -> NATBehaviour? {
      var sources: Set<SocketAddress> = []
      for (address, witness) in zip(addresses, witnesses) {
        host[0].send("where am I", to: address)
        guard let source = witness.receive()?.source else { return nil }
        sources.insert(source)
      }
      // A socket that has sent to one address and port alone.
      host[1].send("where am I", to: addresses[0])
      guard let mapped = witnesses[0].receive()?.source else { return nil }
      witnesses[2].send("stranger", to: mapped)
      witnesses[1].send("other port", to: mapped)
      host[2].send("neighbour", to: mapped)
      // Nothing that is let in takes longer than this.
      usleep(50_000)
      witnesses[0].send("end", to: mapped)
      let heard = host[1].words(until: "end")
      let filtering: Filtering =
        heard.contains("stranger") ? .everybody : heard.contains("other port") ? .knownAddresses : .knownPorts
      return NATBehaviour(
        mapping: sources.count == 1 ? .independent : .dependent, filtering: filtering,
        turnsAround: heard.contains("neighbour"))
    }
  }
}
