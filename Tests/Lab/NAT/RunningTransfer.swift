import CLinux
import Foundation
import Glibc
import Synchronization
import Wire

/// A TCP connection through the tunnel on which bytes run, not fast, until it is told to end. What the people of a machine that moves
/// would be cut off from.
final class RunningTransfer: Sendable {
  private static let port: UInt16 = 7002
  /// Longer than any pause that a test makes, and TCP's own waiting after it.
  private static let patience = timeval(tv_sec: 200, tv_usec: 0)

  private let payload = CheckedPayload(seed: 11)
  private let isEnding = Atomic<Bool>(false)

  private init() {}

  /// Connects, starts, runs `body`, and ends. Whether every byte that was sent arrived.
  static func survives(
    from client: NetworkNamespace, to server: NetworkNamespace, at address: IPAddress, _ body: () async throws -> Void
  ) async throws -> Bool {
    let transfer = RunningTransfer()
    let target = SocketAddress(address, port: port).description
    let listener = try await inNamespace(server) { try LabSocket.listener(target) }
    async let received = inNamespace(server) {
      try LabSocket.receiveStream(listener, transfer.payload, patience: patience)
    }
    let connection = try await inNamespace(client) { try LabSocket.connection(to: target, patience: patience) }
    async let sent = inNamespace(client) { transfer.send(on: connection) }
    do {
      try await body()
    } catch {
      transfer.end()
      throw error
    }
    transfer.end()
    return try await received == sent
  }

  private func end() { isEnding.store(true, ordering: .relaxed) }

  /// How many bytes were sent, `nil` if the connection broke.
  private func send(on connection: CInt) -> Int? {
    defer { close(connection) }
    var offset = 0
    while !isEnding.load(ordering: .relaxed) {
      let bytes = payload.bytes(from: offset, atMost: 4000)
      let count = bytes.withUnsafeBytes {
        Glibc.send(connection, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL))
      }
      guard count > 0 else { return nil }
      offset += count
      usleep(10_000)
    }
    return offset
  }
}
