import Cryptography
import DERP
import Identity
import Logging
import NIOCore
import Netmap
import Synchronization
import TestSupport
import Testing
import Wire

@testable import Agent

@Suite("a relay by itself", .timeLimit(.minutes(10)))
struct StandaloneRelayTests {
  private let folder = TemporaryFolder()
  private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
  private let looks = Looks()

  private func start(_ members: StandaloneRelay.Members) async throws -> StandaloneRelay.Serving {
    var limits = RelayLimits()
    limits.handshake = .seconds(60)
    return try await StandaloneRelay.start(
      .init(listen: [SocketAddress("127.0.0.1:0")!], data: folder.path + "/relay", members: members), limits: limits,
      logger: logger, looked: looks.note)
  }

  private func record(of serving: StandaloneRelay.Serving) -> Relay {
    Relay(
      id: 1, region: "test", host: "127.0.0.1", port: serving.description.listeners[0].port,
      certificateSHA256: serving.relay.certificate)
  }

  private func key() -> X25519PrivateKey { X25519PrivateKey(random: SystemRandom()) }

  private func line(_ key: X25519PrivateKey) -> String { "nodekey:\(Hex.encode(key.publicKey.bytes.array))\n" }

  /// Connects, and gives the link and a sign of its end.
  private func connect(
    _ key: X25519PrivateKey, _ serving: StandaloneRelay.Serving
  ) async throws -> (RelayLink, AsyncStream<Void>) {
    let (ends, end) = AsyncStream<Void>.makeStream()
    let link = try await RelayLink.connect(to: record(of: serving), as: key) {
      if case .closed = $0 { end.finish() }
    }
    return (link, ends)
  }

  @Test("opened to everybody it takes everybody")
  func open() async throws {
    let serving = try await start(.everybody)
    let (link, _) = try await connect(key(), serving)
    link.close()
    await serving.stop()
  }

  @Test("a file says who may use it: whoever is taken out of it is closed out, and a broken file changes nothing")
  func file() async throws {
    let directory = try StateDirectory(opening: folder.path)
    let (first, second, third) = (key(), key(), key())
    await #expect(throws: AgentError.self) { _ = try await start(.file(directory.file("members"))) }
    try directory.write("members", Array((line(first) + line(second)).utf8))
    let serving = try await start(.file(directory.file("members")))
    let (one, endOfOne) = try await connect(first, serving)
    let (two, endOfTwo) = try await connect(second, serving)
    await #expect(throws: DERPError.self) { _ = try await connect(third, serving) }
    try directory.write("members", Array("nonsense\n".utf8))
    try await looks.waitForAnother()
    let (again, _) = try await connect(first, serving)
    try directory.write("members", Array((line(second) + line(third)).utf8))
    for await _ in endOfOne {}
    let (three, _) = try await connect(third, serving)
    await serving.stop()
    for await _ in endOfTwo {}
    _ = (one, two, three, again)
  }

  @Test("a daemon says who may use it, and while it does not answer its last word counts")
  func daemon() async throws {
    let directory = try StateDirectory(opening: folder.path + "/daemon")
    let (friend, stranger) = (key(), key())
    let serving = try await start(.daemon(directory))
    await #expect(throws: DERPError.self, "nobody before a daemon answers") { _ = try await connect(friend, serving) }
    let members = RelayMembers([friend.publicKey], nameRelay: true)
    let socket = try await ControlSocketServer(path: directory.socketPath, logger: logger) { request in
      request.path == "/api/v0/members" ? ControlResponse(200, members.json) : .error(404, "no such request")
    }
    var link: RelayLink?
    for _ in 0..<60 where link == nil { link = try? await connect(friend, serving).0 }
    #expect(link != nil)
    await socket.shutdown()
    try await looks.waitForAnother()
    let (again, _) = try await connect(friend, serving)
    await #expect(throws: DERPError.self) { _ = try await connect(stranger, serving) }
    _ = again
    await serving.stop()
  }
}

/// Counts how often a relay has looked who may use it.
private final class Looks: Sendable {
  private let count = Mutex(0)

  var note: @Sendable () -> Void { { self.count.withLock { $0 += 1 } } }

  /// Until a look that began after this call has ended: the first that ends may have begun before.
  func waitForAnother() async throws {
    let before = count.withLock { $0 }
    while count.withLock({ $0 }) < before + 2 { try await Task.sleep(for: .milliseconds(10)) }
  }
}
