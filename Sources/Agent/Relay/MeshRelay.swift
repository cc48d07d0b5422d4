import Cryptography
import DERP
import DWNNode
import Engine
import Logging
import Mesh
import NIOCore
import Netmap
import Synchronization
import Traversal
import Wire

/// The relay that a daemon runs for its network, with STUN beside it: behind the port of the daemon's node, or on one of its own.
final class MeshRelay: Sendable {
  let members = AcceptedMembers()
  private let identity: RelayIdentity
  private let server: RelayServer
  private let patience: Duration
  private let logger: Logger

  private struct State {
    var listeners: [Wire.SocketAddress] = []
    var channels: [any Channel] = []
    var stun: STUNResponder?
  }

  private let state = Mutex(State())

  /// Takes key and certificate from the directory, which get there once.
  ///
  /// - Parameter isOpen: everybody may use it, whoever the members are.
  init(
    in directory: StateDirectory, isOpen: Bool = false, limits: RelayLimits = RelayLimits(), logger: Logger
  ) throws {
    identity = try directory.relayIdentity(now: .now(), logger: logger)
    let admission: any RelayAdmission = isOpen ? OpenAdmission() : members
    server = RelayServer(
      key: identity.key, certificate: identity.certificate.sha256, admission: admission, limits: limits, logger: logger)
    patience = limits.handshake
    self.logger = logger
  }

  // MARK: Where it listens

  /// For the node behind whose port it is. `answer(beside:)` completes it once that listens.
  var takeover: ConnectionTakeover {
    ConnectionTakeover(path: "/derp", tls: identity.tls, patience: patience) { [server] channel in
      try server.install(on: channel)
    }
  }

  /// Listens by itself, and answers STUN beside.
  ///
  /// With the default addresses, a host without IPv6 gets the IPv4 one alone.
  func listen(on wanted: [Wire.SocketAddress]) async throws {
    var bound: [Wire.SocketAddress] = []
    for address in wanted.isEmpty ? RelaySettings.defaultListen : wanted {
      do {
        let channel = try await server.listen(
          on: NIOCore.SocketAddress(ipAddress: address.ip.description, port: Int(address.port)), tls: identity.tls)
        state.withLock { $0.channels.append(channel) }
        bound.append(SocketAddress(address.ip, port: UInt16(clamping: channel.localAddress?.port ?? 0)))
      } catch {
        if wanted.isEmpty, address.ip.family == .v6 { continue }
        throw AgentError.failed("the relay cannot listen on \(address): \(error)")
      }
    }
    answer(beside: bound)
  }

  /// Answers STUN beside these listeners, which are the relay's from now on.
  func answer(beside listeners: [Wire.SocketAddress]) {
    let stun = STUNResponder(beside: listeners, logger: logger)
    logger.info(
      "a relay is here",
      metadata: [
        "addresses": "\(listeners.map(\.description).joined(separator: " "))",
        "stun": "\(stun.ports.map(String.init).joined(separator: " "))",
      ])
    state.withLock { state in
      state.listeners = listeners
      state.stun = stun
    }
  }

  func stop() async {
    let (channels, stun) = state.withLock { state in
      defer { (state.channels, state.stun) = ([], nil) }
      return (state.channels, state.stun)
    }
    for channel in channels { try? await channel.close() }
    server.closeClients()
    stun?.stop()
  }

  // MARK: What others are told

  var certificate: Bytes32 { identity.certificate.sha256 }
  var listeners: [Wire.SocketAddress] { state.withLock(\.listeners) }
  var stunPorts: [UInt16] { state.withLock { $0.stun?.ports ?? [] } }

  /// How this machine's own engine reaches it, whatever stands before the machine.
  var local: LocalRelay? {
    guard let listener = listeners.first else { return nil }
    let address = listener.ip.isUnspecified ? IPAddress(listener.ip.family == .v4 ? "127.0.0.1" : "::1") : listener.ip
    return address.map { LocalRelay(certificate: certificate, address: SocketAddress($0, port: listener.port)) }
  }

  /// What a gateway maps to this machine, by the machine's own ports.
  typealias Mapped = [PortMapping.Port: Wire.SocketAddress]

  /// The anchor's record of it, where it is reached under one of the URLs.
  func plan(urls: [String], mapped: Mapped = [:], region: String) -> RelayPlan? {
    RelayPlace(urls: urls).map {
      $0.plan(certificate: certificate, stunPorts: stunPorts(at: $0, mapped), region: region)
    }
  }

  /// What a member's endpoint record says of it.
  func offer(urls: [String], mapped: Mapped = [:]) -> RelayOffer? {
    RelayPlace(urls: urls).map { $0.offer(certificate: certificate, stunPorts: stunPorts(at: $0, mapped)) }
  }

  /// Where STUN is answered for those who come to this place. What a gateway maps for TCP says nothing of UDP: behind it those ports
  /// count that it maps as well, under the numbers that it gave them. Nor does a port that is forwarded here under another number.
  private func stunPorts(at place: RelayPlace, _ mapped: Mapped) -> [UInt16] {
    let mappedPlace = place.ipv4.map { SocketAddress($0, port: place.port) }
    if let mappedPlace, mapped.contains(where: { $0.key.transport == .tcp && $0.value == mappedPlace }) {
      return stunPorts.compactMap { mapped[PortMapping.Port(.udp, $0)] }.filter { $0.ip == mappedPlace.ip }.map(\.port)
    }
    return listeners.contains { $0.port == place.port } ? stunPorts : []
  }

  // MARK: Whom it takes

  /// Admits these and nobody else, and ends the connections of those who are not among them any more.
  func admit(_ members: RelayMembers) {
    self.members.replace(with: members)
    server.table.closeUnless { members.keys.contains($0) }
  }
}
