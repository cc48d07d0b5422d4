import Cryptography
import DataPath
import Logging
import Traversal
import Wire
import WireGuard

/// Sockets beside the engine's own, for peers that are reached through nothing else. What they carry passes through the engine's
/// thread: such a way is rare, and better than a relay's all the same.
extension Engine {
  /// Sends a message of disco or WireGuard from the socket that stands for the address.
  @discardableResult
  func transmit(_ message: [UInt8], to address: SocketAddress) -> CInt {
    guard let pathfinding, !pathfinding.probeSockets.isEmpty else { return io?.sockets.send(message, to: address) ?? 0 }
    if let socket = pathfinding.answering, socket.address == address { return socket.send(message) }
    if let socket = provenSocket(for: address) { return socket.send(message) }
    return io?.sockets.send(message, to: address) ?? 0
  }

  func provenSocket(for address: SocketAddress?) -> ProbeSocket? {
    guard let address else { return nil }
    return pathfinding?.probeSockets.first { $0.isProven && $0.address == address }
  }

  func openProbeSockets(_ messages: [[UInt8]], to address: SocketAddress, for key: X25519PublicKey) {
    guard let pathfinding else { return }
    for message in messages {
      guard let socket = ProbeSocket(peer: key, address: address) else { break }
      pathfinding.probeSockets.append(socket)
      watch(socket.descriptor) { [descriptor = socket.descriptor] in $0.collectProbe(descriptor) }
      socket.send(message)
    }
  }

  /// Those that do not stand for the peer's way.
  func closeProbeSockets(for key: X25519PublicKey) {
    let inUse = device.peer(key).flatMap { peers[$0] }?.route.address
    closeProbeSockets { $0.peer == key && !($0.isProven && $0.address == inUse) }
  }

  func closeProbeSockets(_ isUnwanted: (ProbeSocket) -> Bool) {
    guard let pathfinding else { return }
    for socket in pathfinding.probeSockets where isUnwanted(socket) { unwatch(socket.descriptor) }
    pathfinding.probeSockets.removeAll(where: isUnwanted)
  }

  private func collectProbe(_ descriptor: CInt) {
    guard let pathfinding, let socket = pathfinding.probeSockets.first(where: { $0.descriptor == descriptor }) else {
      return
    }
    let (now, wallTime) = (Instant.now(), WallTime.now())
    pathfinding.answering = socket
    pathfinding.withProbeBuffer { buffer in
      socket.receive(into: buffer) { datagram in
        switch DatagramKind(datagram) {
        case .disco where datagram.count <= RelayInbox.longestDisco:
          perform(pathfinding.finder.receive(Array(datagram), .datagram(from: socket.address), now: now))
        // Also before a pong has come: for the peer, which was answered, this may be the way already.
        case .wireGuard:
          if io?.dataPath.relayInlet.put(datagram) == false, datagram.count <= RelayInbox.longestDisco {
            perform(device.receive(Array(datagram), from: socket.address, now: now, wallTime: wallTime))
          }
        default: break
        }
      }
    }
    pathfinding.answering = nil
    settle()
  }

  /// The peer answered over it.
  func prove(_ socket: ProbeSocket) {
    guard !socket.isProven else { return }
    socket.isProven = true
    closeProbeSockets { $0.peer == socket.peer && $0 !== socket }
    logger.info("a guessed port leads to a peer", metadata: ["peer": "\(socket.peer)", "address": "\(socket.address)"])
  }
}
