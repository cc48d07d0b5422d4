import Cryptography
public import Netmap
import Wire

/// Guessing ports, where a NAT gives out another one for everybody who is spoken to (`reach.md` 5, "Hard NATs"): the side behind such a
/// NAT opens many ports, and the other one guesses one of them.
struct PortProbing: Sendable {
  enum Side: Sendable {
    /// This machine's NAT keeps one address: it guesses.
    case guessing
    /// This machine's NAT does not: it has opened ports.
    case open
  }

  let side: Side
  let target: SocketAddress
  var sent = 0
  var nextAt: Instant
}

extension PathFinder {
  /// This machine's own NAT, and whether a gateway maps its port.
  public func setOwnMapping(_ mapping: NATMapping?, hasMappedPort: Bool) {
    ownMapping = mapping
    ownPortIsMapped = hasMappedPort
  }

  /// Both sides have been told to ping each other: if that leads nowhere, and guessing could help, it begins in a moment.
  func planPortProbing(_ path: PeerPath, _ now: Instant) {
    guard side(path) != nil, path.best == nil, path.portProbing == nil, path.portProbingAt == nil,
      path.portsProbedAt.map({ now - $0 >= PathConstants.portProbingPause }) ?? true
    else { return }
    path.portProbingAt = now + PathConstants.plainPings
  }

  /// `nil`: ports are not to be guessed here.
  private func side(_ path: PeerPath) -> PortProbing.Side? {
    guard probesPorts, !ownPortIsMapped, !path.hasMappedPort else { return nil }
    switch (ownMapping, path.natMapping) {
    case (.endpointIndependent, .endpointDependent): return .guessing
    case (.endpointDependent, .endpointIndependent): return .open
    default: return nil
    }
  }

  func runPortProbing(_ path: PeerPath, _ now: Instant) {
    if let due = path.portProbingAt, due <= now { beginPortProbing(path, now) }
    guard var probing = path.portProbing, probing.nextAt <= now else { return }
    let isOver =
      path.best != nil || probing.side == .open || probing.sent >= PathConstants.guesses
    guard !isOver else {
      if probing.side == .open { actions.append(.closeProbeSockets(for: path.key)) }
      path.portProbing = nil
      return
    }
    for _ in 0..<min(PathConstants.guessesAtOnce, PathConstants.guesses - probing.sent)
    where pingBudget.take(leaving: PathConstants.pingsKeptForWays, at: now) {
      let port = UInt16(1024 + random.uniform(below: 65536 - 1024))
      let address = SocketAddress(probing.target.ip, port: port)
      actions.append(.send(sealedPing(path, address, .guess, now), to: address))
      probing.sent += 1
    }
    probing.nextAt = now + PathConstants.guessInterval
    path.portProbing = probing
  }

  private func beginPortProbing(_ path: PeerPath, _ now: Instant) {
    path.portProbingAt = nil
    guard path.best == nil, let side = side(path), let target = path.candidates.outside else { return }
    // One peer at a time.
    guard !peers.values.contains(where: { $0.portProbing != nil }) else {
      path.portProbingAt = now + .seconds(1)
      return
    }
    path.portsProbedAt = now
    switch side {
    case .guessing: path.portProbing = PortProbing(side: side, target: target, nextAt: now)
    case .open:
      path.portProbing = PortProbing(side: side, target: target, nextAt: now + PathConstants.openPortsLifetime)
      let pings = (0..<PathConstants.openPorts).map { _ in sealedPing(path, target, .guess, now) }
      actions.append(.openProbeSockets(pings, to: target, for: path.key))
    }
  }
}
