import Cryptography
import Netmap
import Traversal
import Wire

/// Guessing ports between hosts of which one has a NAT that gives out another port for everybody (`reach.md` 5, "Hard NATs").
extension PathSimulation {
  private static let firstProbePort: UInt16 = 50_000

  /// How the host's NAT maps, as it would have found out.
  func natMapping(of index: Int) -> NATMapping {
    internet.places[index].isSymmetric ? .endpointDependent : .endpointIndependent
  }

  func tellOfNAT(_ index: Int) {
    hosts[index].finder.probesPorts = probesPorts
    hosts[index].finder.setOwnMapping(
      natMapping(of: index), hasMappedPort: internet.places[index].hasMappedPort)
  }

  func openProbeSockets(
    _ messages: [[UInt8]], from index: Int, to address: SocketAddress, for key: X25519PublicKey
  ) {
    guard let peer = hosts.firstIndex(where: { $0.key.publicKey == key }) else { return }
    var port = Self.firstProbePort
    for message in messages {
      while hosts[index].probeSockets[port] != nil { port += 1 }
      hosts[index].probeSockets[port] = SimulatedHost.ProbeSocket(peer: peer, address: address)
      internet.places[index].furtherPorts.insert(port)
      sendDisco(message, from: index, port: port, to: address)
    }
  }

  func closeProbeSockets(of index: Int, where isUnwanted: (SimulatedHost.ProbeSocket) -> Bool) {
    for (port, socket) in hosts[index].probeSockets where isUnwanted(socket) {
      hosts[index].probeSockets[port] = nil
      internet.places[index].furtherPorts.remove(port)
    }
  }

  /// The peer answered over this socket: it stands for the peer's address from now on, and the others are closed.
  func prove(_ port: UInt16, of index: Int) {
    guard let socket = hosts[index].probeSockets[port], !socket.isProven else { return }
    closeProbeSockets(of: index) { $0.peer == socket.peer }
    hosts[index].probeSockets[port] = SimulatedHost.ProbeSocket(
      peer: socket.peer, address: socket.address, isProven: true)
    internet.places[index].furtherPorts.insert(port)
  }

  /// The socket from which something goes to the address; `nil`: the host's own.
  func probePort(of index: Int, for address: SocketAddress) -> UInt16? {
    let sockets = hosts[index].probeSockets
    if let port = hosts[index].answeringPort, sockets[port]?.address == address { return port }
    return sockets.first { $0.value.isProven && $0.value.address == address }?.key
  }
}
