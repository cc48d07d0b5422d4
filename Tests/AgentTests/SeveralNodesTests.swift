import DWNNode
import Identity
import Logging
import Mesh
import TestSupport
import Testing
import Wire

@testable import Agent

/// Commands of an anchor whose network lies on nodes of others, while no daemon runs.
@Suite("Commands and several nodes", .timeLimit(.minutes(10)))
struct SeveralNodesTests {
  private let folder = TemporaryFolder()

  private func node(_ name: String, _ tenants: Tenancy, at address: SocketAddress? = nil) async throws -> EmbeddedNode {
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    return try await EmbeddedNode.start(
      in: StateDirectory(opening: folder.path + "/" + name), tenants: tenants,
      listen: [address ?? SocketAddress("127.0.0.1:0")!], logger: logger)
  }

  private func anchor(_ seed: UInt64, patience: Duration) throws -> (MeshCommands, MachineIdentity) {
    let directory = try StateDirectory(opening: folder.path + "/anchor")
    return (MeshCommands(directory, patience: patience), try directory.identity(orMaking: SeededRandom(seed)))
  }

  private func texts(_ value: JSONValue?) -> [String] { (value?.array ?? []).compactMap(\.string) }

  @Test("who has not got a change is named, also by status, and has it when a command finds it there")
  func away() async throws {
    let (commands, identity) = try anchor(81, patience: .seconds(300))
    let (first, second) = (try await node("first", .open), try await node("second", .open))
    let (address, url) = (second.listeners[0], "http://\(second.listeners[0])")
    let created = try await commands.createNetwork(
      UpRequest(create: "home", endpoints: ["http://\(first.listeners[0])", url]), identity: identity)
    #expect(created["published"] == true)
    #expect(texts(try await commands.status()["pending"]) == [])
    let machines = (0..<2).map { MachineIdentity.generate(random: SeededRandom(90 + $0)).did }

    await second.stop()
    let added = try await commands.addPeer(machines[0], label: "nas")
    #expect(added["published"] == true)
    let unpublished = texts(added["unpublished"])
    #expect(unpublished.count == 1)
    #expect(unpublished.allSatisfy { $0.contains("not yet published to \(url): \(url) cannot be reached") })
    let pending = texts(try await commands.status()["pending"])
    #expect(pending.count == 1)
    #expect(pending.allSatisfy { $0.contains("not yet published to \(url); 'meshd up' does it") })

    let again = try await node("second", .open, at: address)
    let removed = try await commands.removePeer(machines[0])
    #expect(removed["published"] == true && removed["unpublished"] == nil)
    #expect(texts(try await commands.status()["pending"]) == [])
    await again.stop()
    await first.stop()
  }

  @Test("a node that answers and does not serve the network any more is not said to be away")
  func refusing() async throws {
    let (commands, identity) = try anchor(82, patience: .seconds(300))
    let serving = try await node("only", .open)
    let (address, url) = (serving.listeners[0], "http://\(serving.listeners[0])")
    _ = try await commands.createNetwork(UpRequest(create: "home", endpoints: [url]), identity: identity)
    await serving.stop()
    let refusing = try await node("only", [], at: address)
    let hurried = try anchor(82, patience: .seconds(5)).0
    let added = try await hurried.addPeer(MachineIdentity.generate(random: SeededRandom(92)).did, label: "nas")
    #expect(added["published"] == false)
    let unpublished = texts(added["unpublished"])
    #expect(unpublished.count == 1)
    #expect(unpublished.allSatisfy { $0.contains("\(url) does not serve this machine: Not a registered tenant") })
    await refusing.stop()
  }
}
