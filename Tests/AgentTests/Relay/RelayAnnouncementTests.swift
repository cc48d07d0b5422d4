import Control
import Cryptography
import DWN
import Identity
import Logging
import Mesh
import TestSupport
import Testing
import Wire

@testable import Agent

@Suite("what the anchor's records say of its own relay")
struct RelayAnnouncementTests {
  private let folder = TemporaryFolder()
  private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

  /// A state directory with a relay's certificate, a network, and the plan of its record.
  private func open(_ envelope: Envelope) async throws -> (MeshSession, NetworkState, RelayPlan) {
    let directory = try StateDirectory(opening: folder.path)
    let relay = try MeshRelay(in: directory, logger: logger)
    relay.answer(beside: [SocketAddress("127.0.0.1:0")!])
    let plan = try #require(relay.plan(urls: ["http://198.51.100.1:8787"], region: "home"))
    await relay.stop()
    let session = try await MeshSession.open(directory, try directory.identity(orMaking: SystemRandom()))
    let network = try await session.createNetwork(
      named: "n", cidr: nil, envelope: envelope, endpoints: ["http://198.51.100.1:8787"], embedsNode: true, relay: plan)
    return (session, network, plan)
  }

  private func records(_ session: MeshSession, _ network: NetworkState) async -> [RelayRecord] {
    await session.keeper.ledger.relays(of: network.reference.id)
  }

  @Test("a new network begins with it, under the id 1; it moves with the machine, and ends when the relay does")
  func life() async throws {
    let (session, network, plan) = try await open(.jwe)
    #expect(await records(session, network) == [try #require(record(plan, id: 1))])
    try await session.announce(plan, in: network)
    #expect(await records(session, network).count == 1)
    var moved = plan
    moved.host = .address(try #require(IPAddress("2001:db8::1")))
    moved.ipv6 = IPAddress("2001:db8::1")
    try await session.announce(moved, in: network)
    #expect(await records(session, network) == [try #require(record(moved, id: 1))])
    try await session.withdrawRelay(from: network)
    #expect(await records(session, network).isEmpty)
    try await session.announce(plan, in: network)
    #expect(await records(session, network).map(\.id) == [2], "no id is given twice")
    session.close()
  }

  @Test("another's relay is not withdrawn with it")
  func others() async throws {
    let (session, network, _) = try await open(.jwe)
    let id = network.reference.id
    let other = RelayPlan(host: .name("relay.example.org"), port: 443, region: "elsewhere")
    _ = try await session.keeper.perform { ledger in
      try ledger.addRelay(other, to: id, now: .now(), random: SystemRandom())
    }
    try await session.withdrawRelay(from: network)
    #expect(await records(session, network).map(\.region) == ["elsewhere"])
    session.close()
  }

  @Test("with encryption v1 nothing is registered by itself")
  func v1() async throws {
    let (session, network, plan) = try await open(.v1)
    try await session.announce(plan, in: network)
    try await session.withdrawRelay(from: network)
    #expect(await records(session, network).isEmpty)
    #expect(!session.mayRegisterRelays(in: network))
    session.close()
  }

  private func record(_ plan: RelayPlan, id: UInt16) -> RelayRecord? {
    plan.region.map { _ in RelayRecord(id: id, plan) }
  }
}
