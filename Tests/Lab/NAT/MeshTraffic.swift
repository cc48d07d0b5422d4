import Foundation
import Glibc
import Synchronization
import Wire

/// Small packets that one machine of a mesh sends to another through the tunnel, all the time, and the answers to them.
///
/// Both ends are threads with blocking sockets; the tunnel is all that they know of the mesh.
final class MeshTraffic: Sendable {
  private static let port: UInt16 = 7007
  /// Between one packet and the next.
  private static let interval: CInt = 20

  private struct Progress {
    var sent: [ContinuousClock.Instant] = []
    /// Numbers of packets and when their answers came.
    var answered: [(number: Int, at: ContinuousClock.Instant)] = []
    var isStopped = false
  }

  private let progress = Mutex(Progress())

  private init() {}

  /// Starts to send from one to the mesh address of the other.
  static func start(
    from client: NetworkNamespace, to server: NetworkNamespace, at address: IPAddress
  ) async throws -> MeshTraffic {
    let traffic = MeshTraffic()
    let target = SocketAddress(address, port: port)
    let listener = try await ProbeSocket.open(target.description, in: server)
    let socket = try await ProbeSocket.open(address.family == .v4 ? "0.0.0.0:0" : "[::]:0", in: client)
    Thread.detachNewThread { traffic.answer(listener) }
    Thread.detachNewThread { traffic.ask(socket, target) }
    return traffic
  }

  func stop() {
    progress.withLock { $0.isStopped = true }
  }

  /// When the first packet was sent.
  var began: ContinuousClock.Instant? { progress.withLock { $0.sent.first } }

  /// When the first answer came to any packet that was sent at this time or later.
  func answer(toPacketAfter time: ContinuousClock.Instant) -> ContinuousClock.Instant? {
    progress.withLock { progress in
      progress.answered.first { progress.sent[$0.number] >= time }?.at
    }
  }

  private var isStopped: Bool { progress.withLock { $0.isStopped } }

  private func answer(_ socket: ProbeSocket) {
    defer { socket.close() }
    while !isStopped {
      if let (bytes, source) = socket.receiveBytes(patience: 200) { socket.send(bytes, to: source) }
    }
  }

  private func ask(_ socket: ProbeSocket, _ target: SocketAddress) {
    defer { socket.close() }
    while !isStopped {
      let number = progress.withLock { progress in
        progress.sent.append(.now)
        return progress.sent.count - 1
      }
      socket.send("\(number)", to: target)
      let next = ContinuousClock.now + .milliseconds(Int(Self.interval))
      while true {
        let left = ContinuousClock.now.duration(to: next)
        guard left > .zero else { break }
        guard let (word, _) = socket.receive(patience: CInt(left.components.attoseconds / 1_000_000_000_000_000) + 1)
        else { continue }
        let now = ContinuousClock.now
        progress.withLock { progress in
          if let number = Int(word), progress.sent.indices.contains(number) { progress.answered.append((number, now)) }
        }
      }
    }
  }
}
