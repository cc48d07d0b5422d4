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
  let endsAt: Instant
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
      path.limits.portsProbedAt.map({ now - $0 >= PathConstants.portProbingPause }) ?? true
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
    guard path.best == nil, now < probing.endsAt, probing.side == .open || probing.sent < PathConstants.guesses else {
      return endPortProbing(path)
    }
    probing.nextAt = min(now + PathConstants.guessInterval, probing.endsAt)
    switch probing.side {
    case .guessing:
      for _ in 0..<takeGuesses(min(PathConstants.guessesAtOnce, PathConstants.guesses - probing.sent), now) {
        let port = UInt16(1024 + random.uniform(below: 65536 - 1024))
        let address = SocketAddress(probing.target.ip, port: port)
        actions.append(.send(sealedPing(path, address, .guess, now), to: address))
        probing.sent += 1
      }
    case .open:
      let count = takeGuesses(min(PathConstants.openPortsAtOnce, PathConstants.openPorts - probing.sent), now)
      let pings = (0..<count).map { _ in sealedPing(path, probing.target, .guess, now) }
      if !pings.isEmpty { actions.append(.openProbeSockets(pings, to: probing.target, for: path.key)) }
      probing.sent += count
      if probing.sent == PathConstants.openPorts { probing.nextAt = probing.endsAt }
    }
    path.portProbing = probing
  }

  /// Ports that were opened for the peer, and lead nowhere, are closed.
  func endPortProbing(_ path: PeerPath) {
    if path.portProbing?.side == .open { actions.append(.closeProbeSockets(for: path.key)) }
    path.portProbing = nil
  }

  /// Of all pings that may be sent in a second guesses take their part; those to one peer have a bound of their own.
  private func takeGuesses(_ count: Int, _ now: Instant) -> Int {
    (0..<count).count { _ in pingBudget.take(leaving: PathConstants.pingsKeptForWays, at: now) }
  }

  private func beginPortProbing(_ path: PeerPath, _ now: Instant) {
    path.portProbingAt = nil
    guard path.best == nil, let side = side(path), let target = path.candidates.outside else { return }
    // One peer at a time.
    guard !peers.values.contains(where: { $0.portProbing != nil }) else {
      path.portProbingAt = now + PathConstants.retry
      return
    }
    path.limits.portsProbedAt = now
    path.portProbing = PortProbing(
      side: side, target: target, nextAt: now, endsAt: now + PathConstants.openPortsLifetime)
  }
}
