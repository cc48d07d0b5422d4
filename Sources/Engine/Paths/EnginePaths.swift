import Cryptography
import DERP
import DataPath
import Logging
import NIOCore
import Netmap
import Traversal
import Wire
import WireGuard

/// What the engine does for its `PathFinder`, and how it gets WireGuard's handshakes to peers whose way the finder knows.
extension Engine {
  /// An initiation has so long before another one may go out before its turn.
  private static let leastWait: Duration = .milliseconds(500)
  private static let hurryInterval: Duration = .seconds(5)

  func perform(_ actions: [PathAction]) {
    for action in actions {
      switch action {
      case .send(let message, let address): transmit(message, to: address)
      case .sendRelayed(let message, let key): sendRelayed(message, to: key)
      case .setRoute(let key, let route, let wireMTU): setRoute(key, route, wireMTU)
      case .openProbeSockets(let messages, let address, let key): openProbeSockets(messages, to: address, for: key)
      case .closeProbeSockets(let key): closeProbeSockets(for: key)
      case .proved(let key, let address):
        guard let socket = pathfinding?.answering, socket.peer == key, socket.address == address else { continue }
        prove(socket)
      case .refreshOwnEndpoints: refreshOwnEndpoints()
      case .askRelays: pathfinding?.relayOrders.yield(.ask)
      case .observed(let address, let key): noteObserved(address, by: key)
      case .answered(let token, let address, let latency):
        guard let pathfinding, let ping = pathfinding.pings.removeValue(forKey: token) else { continue }
        let relay = address == nil ? pathfinding.hearing : nil
        ping.waiter.resume(returning: PingAnswer(address: address, relay: relay, latency: latency))
      }
    }
  }

  private func setRoute(_ key: X25519PublicKey, _ route: Route, _ wireMTU: Int) {
    guard let id = device.peer(key), let peer = peers[id] else { return }
    peers[id]?.setRoute(route, wireMTU: wireMTU, hasOwnSocket: provenSocket(for: route.address) != nil)
    stalePeers.insert(id)
    // The socket that stood for a way goes with it.
    if let former = peer.route.address, former != route.address {
      closeProbeSockets { $0.isProven && $0.peer == key && $0.address == former }
    }
    if let address = route.address, address != peer.route.address { announce.yield(.endpointChanged(key, address)) }
    logger.debug("route", metadata: ["peer": "\(key)", "name": "\(peer.peer.name)", "route": "\(route)"])
    guard route != .none, let message = pathfinding?.held.take(id, at: .now()) else { return }
    transmit(message, along: route, to: peer)
  }

  // MARK: Handshakes

  /// Sends a handshake message to where WireGuard wants it: along the route of the peer if one of the addresses stands for a peer.
  func sendHandshake(_ message: [UInt8], to addresses: [Wire.SocketAddress]) {
    guard let id = addresses.lazy.compactMap({ PseudoAddress.peer($0) }).first else {
      for address in addresses { send(message, to: address) }
      return
    }
    if peers[id]?.hasRoute == true {
      sendHandshake(message, to: id)
    } else if let peer = peers[id] {
      // Nobody knows yet that it has a disco key, but over a relay it was heard.
      sendRelayed(message, to: peer.key)
      for address in addresses where !PseudoAddress.isPseudo(address.ip) { send(message, to: address) }
    }
  }

  /// An initiation goes where the peer's route leads, and begins a search for a better one. Everything else answers what came over a
  /// relay, and goes back over it.
  private func sendHandshake(_ message: [UInt8], to id: PeerID) {
    guard let pathfinding, let peer = peers[id] else { return }
    guard message.first == 1 else {
      sendRelayed(message, to: peer.key)
      return
    }
    peers[id]?.lastInitiation = .now()
    if peer.route == .none {
      pathfinding.held.hold(message, for: id, at: .now())
      pathfinding.relayOrders.yield(.wanted)
    } else {
      transmit(message, along: peer.route, to: peer)
    }
    for address in pathfinding.finder.lastResorts(to: peer.key, now: .now()) { send(message, to: address) }
    wantsToSend(to: peer.key)
  }

  /// Notes what the actions that follow from a handshake message say of the way that it came.
  func noteHandshake(_ actions: [Action], from source: Wire.SocketAddress) {
    for action in actions {
      switch action {
      case .install(let session, _, .next) where peers[session.peer]?.hasRoute == true:
        peers[session.peer]?.answered[session.id] = source
      case .handshakeCompleted(let id, let session) where session.role == .initiator: proved(id, source)
      default: break
      }
    }
  }

  /// The peer uses a session that it was answered with: it got the answer.
  func noteConfirmation(_ session: SessionID, _ id: PeerID) {
    if let address = peers[id]?.answered[session] { proved(id, address) }
    peers[id]?.answered = [:]
  }

  private func proved(_ id: PeerID, _ address: Wire.SocketAddress) {
    guard let pathfinding, let peer = peers[id], peer.hasRoute else { return }
    perform(pathfinding.finder.handshaken(peer.key, with: address, now: .now()))
  }

  private func transmit(_ message: [UInt8], along route: Route, to peer: PeerState) {
    if let address = route.address { send(message, to: address) }
    if route.usesRelay { sendRelayed(message, to: peer.key) }
  }

  private func send(_ message: [UInt8], to address: Wire.SocketAddress) {
    let status = transmit(message, to: address)
    guard status != 0 else { return }
    logger.debug(
      "a handshake message was not sent", metadata: ["to": "\(address)", "reason": "\(reason(of: status))"])
  }

  // MARK: Relays

  /// A disco or handshake message.
  func sendRelayed(_ message: [UInt8], to key: X25519PublicKey) {
    pathfinding?.relays.send(ByteBuffer(bytes: message), to: key, relays: relays(of: key))
  }

  /// A sealed packet of the data path, for a relay or for a socket that the data path does not have. The route may have changed since it
  /// was sealed: where there is no such socket, it was for the relay, and goes there.
  func relay(_ packet: UnsafeRawBufferPointer, to id: PeerID) {
    guard let pathfinding, let peer = peers[id] else { return }
    if let socket = provenSocket(for: peer.route.address) {
      let status = socket.send(packet)
      if status != 0 { pathfinding.probeDrops[.sending(status), default: 0] += 1 }
      guard peer.route.usesRelay else { return }
    }
    pathfinding.relays.send(ByteBuffer(bytes: packet), to: peer.key, relays: peer.peer.relayIDs)
  }

  private func relays(of key: X25519PublicKey) -> [UInt16] {
    device.peer(key).flatMap { peers[$0]?.peer.relayIDs } ?? []
  }

  func relayInUse(for key: X25519PublicKey) -> UInt16? {
    pathfinding?.relays.relay(for: key, relays: relays(of: key))
  }

  /// Takes what came over relays and is not the data path's.
  func collectRelayed() {
    guard let pathfinding else { return }
    let messages = pathfinding.inbox.takeAll()
    for (index, message) in messages.enumerated() {
      if isKnown(message) {
        receiveRelayed(message, backlog: messages.count - index - 1)
      } else {
        pathfinding.early.hold(message, at: .now())
      }
    }
    settle()
  }

  /// Takes what came too early, of machines that the netmap names now.
  func collectEarly() {
    guard let pathfinding else { return }
    for message in pathfinding.early.take(at: .now(), ifKnown: isKnown) { receiveRelayed(message, backlog: 0) }
  }

  private func isKnown(_ message: RelayInbox.Message) -> Bool {
    guard device.peer(message.sender) != nil else { return false }
    guard case .disco(let bytes, _, _) = message else { return true }
    return pathfinding?.finder.knowsSender(of: bytes) ?? false
  }

  /// - Parameter backlog: how many more wait.
  private func receiveRelayed(_ message: RelayInbox.Message, backlog: Int) {
    guard let pathfinding, let id = device.peer(message.sender) else { return }
    let now = Instant.now()
    switch message {
    case .disco(let bytes, let key, let relay):
      let actions = pathfinding.finder.receive(bytes, .relayed(from: key), now: now)
      if !actions.isEmpty { hurry(id) }
      pathfinding.hearing = relay
      perform(actions)
      pathfinding.hearing = nil
    case .transport(let key): perform(pathfinding.finder.heardOverRelay(key, now: now))
    case .handshake(let bytes, _):
      // A relay that names somebody else as the sender must not lead our answers, and later messages, astray.
      perform(
        device.receive(bytes, from: PseudoAddress.of(id), of: id, backlog: backlog, now: now, wallTime: .now()))
    }
  }

  // MARK: What the data path notices

  func wantsToSend(to key: X25519PublicKey) {
    guard let pathfinding else { return }
    let now = Instant.now()
    perform(pathfinding.finder.wantsToSend(to: key, now: now))
    keepChecking(now)
  }

  /// Something of WireGuard's that concerns the finder too. `true`: it is the finder's alone.
  func tellFinder(_ event: Event) -> Bool {
    guard let pathfinding else { return false }
    switch event {
    case .sourceChanged(let id, let address):
      guard let peer = peers[id], peer.hasRoute else { return false }
      perform(pathfinding.finder.heard(peer.key, from: address, now: .now()))
      return true
    case .dataSent(let id, _):
      if let peer = peers[id], peer.hasRoute { wantsToSend(to: peer.key) }
      return false
    case .confirmed(let session, let id):
      noteConfirmation(session, id)
      return false
    case .packetWithoutSession(let id, _, _):
      hurry(id)
      return false
    default: return false
    }
  }

  /// Repeats a handshake before its turn, once in a while: the initiation that waits for its answer may have been sent before there was a
  /// way, and now somebody has something to say.
  private func hurry(_ id: PeerID) {
    let now = Instant.now()
    guard let peer = peers[id], peer.hasRoute, let last = peer.lastInitiation, now - last >= Self.leastWait,
      peer.lastHurry.map({ now - $0 >= Self.hurryInterval }) ?? true,
      device.status(of: id, now: now)?.state == .handshaking
    else { return }
    peers[id]?.lastHurry = now
    perform(device.initiate(id, .peerChanged, now: now, wallTime: .now()))
  }

  /// What is due for the ways.
  func advancePaths(_ now: Instant) {
    guard let pathfinding else { return }
    pathfinding.expirePings(at: now)
    perform(
      pathfinding.finder.advance(now: now) { [device, peers] key in
        guard let memory = device.peer(key).flatMap({ peers[$0] })?.memory else { return (nil, nil) }
        // What comes over a relay says nothing about the direct way.
        let received = memory.lastReceivedDirectlyNanoseconds
        return (memory.observeTraffic().lastSent, received == 0 ? nil : Instant(nanoseconds: received))
      })
    advanceNetcheck(now)
  }

  // MARK: Questions

  func beginPing(_ key: X25519PublicKey, until end: Instant, _ waiter: Pathfinding.Waiter) {
    let now = Instant.now()
    guard let pathfinding, let (token, actions) = pathfinding.finder.ping(key, within: end - now, now: now) else {
      waiter.resume(returning: nil)
      return
    }
    pathfinding.pings[token] = (key, waiter, end)
    perform(actions)
    settle()
  }
}
