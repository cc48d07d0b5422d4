import Wire

/// How a router translates addresses (RFC 4787): which packets to other destinations share a mapping, and who may answer through it.
struct NATBehaviour: Hashable {
  enum Filtering: Int { case none, address, addressAndPort }
  /// Every destination gets a port of its own.
  var isSymmetric = false
  var filtering = Filtering.addressAndPort
  /// Lets no UDP through at all.
  var blocksUDP = false
  /// Its customers do not see each other.
  var isolates = false

  static let fullCone = NATBehaviour(filtering: .none)
  static let addressRestricted = NATBehaviour(filtering: .address)
  static let portRestricted = NATBehaviour()
  static let symmetric = NATBehaviour(isSymmetric: true)
  static let blocked = NATBehaviour(blocksUDP: true)
  static let carrierGrade = NATBehaviour(isolates: true)
}

/// A router that translates, between its inner network and whatever is outside. One with a `gateway` maps ports for its customers.
final class VirtualNAT {
  private struct Mapping {
    let inner: SocketAddress
    let port: UInt16
    /// Only for symmetric ones.
    let destination: SocketAddress?
    var permitted: Set<SocketAddress> = []
  }

  /// Who speaks with whom, as long as the router knows of it.
  private struct Flow: Hashable {
    let inner: SocketAddress
    let outside: SocketAddress
  }

  let behaviour: NATBehaviour
  let address: IPAddress
  /// The router that this one is behind.
  let outer: VirtualNAT?
  /// Where customers ask for ports.
  let gateway: IPAddress?
  private var mappings: [Mapping] = []
  /// What customers asked for, by outer port.
  private var forwards: [UInt16: SocketAddress] = [:]
  /// Those that began from outside, through a forwarded port, and are answered through it.
  private var forwardedFlows: [Flow: UInt16] = [:]
  private var nextPort: UInt16
  /// Of NAT-PMP: seconds that the router has kept its state for.
  private var epoch: UInt32 = 1000

  init(
    _ behaviour: NATBehaviour, address: IPAddress, behind outer: VirtualNAT? = nil, gateway: IPAddress? = nil,
    firstPort: UInt16
  ) {
    self.behaviour = behaviour
    self.address = address
    self.outer = outer
    self.gateway = gateway
    nextPort = firstPort
  }

  /// This router and those that it is behind, from the inside outwards.
  var chain: [VirtualNAT] { [self] + (outer?.chain ?? []) }

  /// The outer source of a packet; `nil` if it is dropped.
  func outgoing(from inner: SocketAddress, to destination: SocketAddress) -> SocketAddress? {
    guard !behaviour.blocksUDP else { return nil }
    if let port = forwardedFlows[Flow(inner: inner, outside: destination)] { return SocketAddress(address, port: port) }
    let wanted = behaviour.isSymmetric ? destination : nil
    if !mappings.contains(where: { $0.inner == inner && $0.destination == wanted }) {
      mappings.append(Mapping(inner: inner, port: freePort(), destination: wanted))
    }
    guard let index = mappings.firstIndex(where: { $0.inner == inner && $0.destination == wanted }) else { return nil }
    mappings[index].permitted.insert(destination)
    return SocketAddress(address, port: mappings[index].port)
  }

  /// The inner destination of a packet that came to `port`; `nil` if it is dropped.
  func incoming(from source: SocketAddress, to port: UInt16) -> SocketAddress? {
    guard !behaviour.blocksUDP else { return nil }
    if let inner = forwards[port] {
      // Two that speak already go on as they began.
      if !mappings.contains(where: { $0.inner == inner && $0.permitted.contains(source) }) {
        forwardedFlows[Flow(inner: inner, outside: source)] = port
      }
      return inner
    }
    guard let mapping = mappings.first(where: { $0.port == port }) else { return nil }
    switch behaviour.filtering {
    case .none: return mapping.inner
    case .address: return mapping.permitted.contains { $0.ip == source.ip } ? mapping.inner : nil
    case .addressAndPort: return mapping.permitted.contains(source) ? mapping.inner : nil
    }
  }

  /// As after a restart: every mapping is gone, and ports are others.
  func forget() {
    mappings = []
    forwards = [:]
    forwardedFlows = [:]
    epoch = 0
    nextPort = nextPort &+ 10_000 | 0x4000
  }

  /// Answers NAT-PMP (RFC 6886 §3.2 and §3.3); `nil` for anything else.
  func answer(_ request: [UInt8], from customer: IPAddress) -> [UInt8]? {
    guard gateway != nil, request.first == 0 else { return nil }
    var writer = ByteWriter()
    switch (request.dropFirst().first, request.count) {
    case (0, 2):
      writer.append([0, 128, 0, 0])
      writer.bigEndian(epoch)
      writer.append(address.bytes)
    case (1, 12):
      let inner = SocketAddress(customer, port: UInt16(request[4]) << 8 | UInt16(request[5]))
      let isReleased = request[8...].allSatisfy { $0 == 0 }
      let port = forwards.first { $0.value == inner }?.key ?? freePort()
      forwards[port] = isReleased ? nil : inner
      writer.append([0, 129, 0, 0])
      writer.bigEndian(epoch)
      writer.bigEndian(inner.port)
      writer.bigEndian(isReleased ? 0 : port)
      writer.append(request[8...])
    default: return nil
    }
    return writer.bytes
  }

  private func freePort() -> UInt16 {
    repeat {
      // Not in a row: nobody shall guess the next one.
      nextPort = nextPort &* 31 &+ 7919 | 0x4000
      if mappings.contains(where: { $0.port == nextPort }) || forwards[nextPort] != nil { nextPort &+= 1 }
    } while mappings.contains { $0.port == nextPort } || forwards[nextPort] != nil
    return nextPort
  }
}
