import Glibc
import Wire

/// Two hosts that try to reach each other with nothing but UDP: what physics allows, before any cleverness.
struct HolePunch: Sendable {
  private let sockets: [ProbeSocket]
  /// Where each is sent to by the other.
  private let targets: [SocketAddress]

  /// Whether one gets an answer from the other, if both send to where a witness saw the other and answer whatever comes. A router that
  /// maps ports on request has been asked.
  static func succeeds(between left: NATHost, _ right: NATHost, in world: NATWorld) async throws -> Bool {
    for isV4 in [true, false] {
      let isCommon = isV4 ? left.kind.hasIPv4 && right.kind.hasIPv4 : left.kind.hasIPv6 && right.kind.hasIPv6
      guard isCommon, let punch = try await HolePunch([left, right], world, isV4: isV4) else { continue }
      let isThrough = try await inNamespace(world.internet) { punch.isThrough() }
      for socket in punch.sockets { socket.close() }
      if isThrough { return true }
    }
    return false
  }

  /// `nil`: one of the two has no UDP.
  private init?(_ pair: [NATHost], _ world: NATWorld, isV4: Bool) async throws {
    let text = isV4 ? "\(NATWorld.witnesses[0]):3478" : "[\(NATWorld.witnessesV6[0])]:3478"
    guard let meeting = SocketAddress(text) else { throw Missing(what: "an address", in: text) }
    let witness = try await ProbeSocket.open(text, in: world.internet)
    defer { witness.close() }
    var sockets: [ProbeSocket] = []
    var seen: [SocketAddress] = []
    for host in pair {
      let socket = try await ProbeSocket.open(isV4 ? "0.0.0.0:0" : "[::]:0", in: host.namespace)
      sockets.append(socket)
      let address = try await inNamespace(world.internet) { () -> SocketAddress? in
        if host.kind == .upnp { return host.publicIP.flatMap { Self.requestMapping(of: socket, at: $0) } }
        socket.send("where am I", to: meeting)
        return witness.receive(patience: host.kind == .blocked ? 200 : 3000)?.source
      }
      if let address { seen.append(address) }
    }
    self.sockets = sockets
    targets = seen.reversed()
    if seen.count < 2 {
      for socket in sockets { socket.close() }
      return nil
    }
  }

  /// One answer is enough: what went there and back goes there and back again.
  private func isThrough() -> Bool {
    for _ in 0..<4 {
      for (socket, target) in zip(sockets, targets) { socket.send("hello", to: target) }
      for _ in 0..<5 {
        for socket in sockets {
          while let (word, source) = socket.receive(patience: 10) {
            guard word == "hello" else { return true }
            socket.send("welcome", to: source)
          }
        }
      }
    }
    return false
  }

  /// Asks the router for a mapping by NAT-PMP (RFC 6886 §3.3).
  private static func requestMapping(of socket: ProbeSocket, at address: IPAddress) -> SocketAddress? {
    guard let router = SocketAddress("192.168.1.1:5351") else { return nil }
    var request = ByteWriter()
    request.append([0, 1, 0, 0])
    request.bigEndian(socket.port)
    request.bigEndian(UInt16(0))
    request.bigEndian(UInt32(7200))
    socket.send(request.bytes, to: router)
    guard let (answer, _) = socket.receiveBytes(), answer.count == 16, answer[3] == 0 else { return nil }
    return SocketAddress(address, port: UInt16(answer[10]) << 8 | UInt16(answer[11]))
  }
}
