import Control
import DWN
import Foundation
import Identity
import Logging
import Mesh
import TestSupport
import Testing
import Wire

@testable import Agent

/// The commands while no daemon runs: they work on the ledger alone, and what they change is published later.
@Suite("Commands without a daemon")
struct MeshCommandsTests {
  private let folder = TemporaryFolder()

  private func machine(_ name: String, _ seed: UInt64) throws -> (StateDirectory, MachineIdentity) {
    let directory = try StateDirectory(opening: folder.path + "/" + name)
    return (directory, try directory.identity(orMaking: SeededRandom(seed)))
  }

  @Test("a network is made, kept, and not made twice")
  func create() async throws {
    let (directory, identity) = try machine("a", 1)
    let commands = MeshCommands(directory)
    let created = try await commands.createNetwork(UpRequest(create: "home"), identity: identity)
    #expect(created["network"] == "home")
    #expect(created["published"] == false)
    let status = try await commands.status()
    #expect(status["running"] == false)
    #expect(status["networkRecordID"] == created["networkId"])
    #expect(status["meshIP"] == created["meshIP"])
    #expect(status["head"]?["seq"]?.integer == 1)
    await #expect(throws: AgentError.anotherNetwork(name: "home")) {
      try await commands.createNetwork(UpRequest(create: "other"), identity: identity)
    }
  }

  @Test("a peer is added without a node to publish to, once")
  func addPeer() async throws {
    let (directory, identity) = try machine("a", 2)
    let (_, other) = try machine("b", 3)
    let commands = MeshCommands(directory)
    _ = try await commands.createNetwork(UpRequest(create: "home"), identity: identity)
    let added = try await commands.addPeer(other.did, label: "laptop")
    #expect(added["did"]?.string == other.did.text)
    #expect(added["label"] == "laptop")
    #expect(added["known"] == false)
    #expect(added["published"] == false)
    let again = try await commands.addPeer(other.did, label: "phone")
    #expect(again["known"] == true)
    #expect(again["meshIP"] == added["meshIP"])
    let peers = try await commands.peers().peers
    #expect(peers.map { $0["nodeDID"]?.string } == [other.did.text])
    #expect(peers.first?["label"] == "laptop")
    #expect(try await commands.approvePeer(other.did)["delivered"] == false)
  }

  @Test("only the anchor adds peers, and a DID without a key is no peer")
  func refusals() async throws {
    let (directory, identity) = try machine("a", 4)
    let commands = MeshCommands(directory)
    await #expect(throws: AgentError.noNetwork) { try await commands.addPeer(identity.did, label: "x") }
    _ = try await commands.createNetwork(UpRequest(create: "home"), identity: identity)
    let web = try #require(DID("did:web:example.org"))
    await #expect(throws: (any Error).self) { try await commands.addPeer(web, label: "x") }
    await #expect(throws: (any Error).self) { try await commands.approvePeer(web) }

    let (elsewhere, _) = try machine("b", 5)
    let status = try await commands.status()
    try elsewhere.save(
      NetworkState(
        networkID: try #require(status["networkRecordID"]?.string.flatMap { RecordID($0) }), anchor: identity.did,
        name: "home", endpoints: [], embedsNode: false))
    await #expect(throws: AgentError.notTheAnchor("add peers")) {
      try await MeshCommands(elsewhere).addPeer(identity.did, label: "x")
    }
  }

  @Test("relays are added, listed and removed by their numbers, by the machine that created the network alone")
  func relays() async throws {
    let (directory, identity) = try machine("a", 40)
    let commands = MeshCommands(directory)
    let created = try await commands.createNetwork(UpRequest(create: "home"), identity: identity)
    #expect(try await commands.relays()["relays"] == [])
    let always = try await commands.policy()["always"]?.array?.compactMap(\.string) ?? []
    #expect(always.count == 1 && always[0].contains("\(created["meshIP"]?.string ?? "?"):8787"))
    let request = RelayRequest(url: "https://relay.example.com", region: "far away", stunPorts: [3478, 3479])
    let relay = try await commands.addRelay(request)["relay"]
    #expect(relay?["id"] == 1 && relay?["url"] == "https://relay.example.com:443" && relay?["region"] == "far away")
    let pinned = RelayRequest(url: "https://192.0.2.1:8787/", pin: String(repeating: "Ab", count: 32), stunPorts: [0])
    #expect(try await commands.addRelay(pinned)["relay"]?["id"] == 2)
    await #expect(throws: LedgerError.relayThere(1)) { try await commands.addRelay(request) }
    for host in [
      "127.0.0.1", "0.0.0.0", "[fe80::1]", "[::ffff:127.0.0.1]", "224.0.0.1", "255.255.255.255", "10.200.7.7",
    ] {
      await #expect(throws: AgentError.self, "\(host) leads nobody there") {
        try await commands.addRelay(RelayRequest(url: "https://\(host):8787"))
      }
    }
    let listed = try await commands.relays()["relays"]?.array ?? []
    #expect(listed.map { $0["url"]?.string } == ["https://relay.example.com:443", "https://192.0.2.1:8787"])
    #expect(listed.map { $0["stunPort"]?.integer } == [3478, 0])
    #expect(listed[1]["certSHA256"]?.string == String(repeating: "ab", count: 32))
    #expect(try await commands.removeRelay(1)["url"] == "https://relay.example.com:443")
    await #expect(throws: LedgerError.unknownRelay(1)) { try await commands.removeRelay(1) }
    #expect(try await commands.addRelay(request)["relay"]?["id"] == 3)

    let (elsewhere, _) = try machine("c", 42)
    try elsewhere.save(
      NetworkState(
        networkID: try #require(created["networkId"]?.string.flatMap { RecordID($0) }), anchor: identity.did,
        name: "home", endpoints: [], embedsNode: false))
    await #expect(throws: AgentError.notTheAnchor("add relays for everybody")) {
      try await MeshCommands(elsewhere).addRelay(request)
    }
    await #expect(throws: AgentError.notTheAnchor("remove relays")) {
      try await MeshCommands(elsewhere).removeRelay(2)
    }
  }

  @Test(
    "what no relay record can say is refused before anything is asked",
    arguments: [
      RelayRequest(url: "http://relay.example.com"), RelayRequest(url: "192.0.2.1"),
      RelayRequest(url: "relay.example.com:443"),
      RelayRequest(url: "https://relay.example.com/derp"), RelayRequest(url: "https://user@relay.example.com"),
      RelayRequest(url: "https://relay.example.com:0"), RelayRequest(url: "https://"),
      RelayRequest(url: "https://relay.example.com", pin: "ab"),
      RelayRequest(url: "https://relay.example.com", region: ""),
      RelayRequest(url: "https://relay.example.com", stunPorts: [1, 2, 3]),
      RelayRequest(url: "https://relay.example.com", stunPorts: [1, 0]),
      RelayRequest(url: "https://relay.example.com", stunPorts: [0], stunOnly: true),
    ])
  func badRelays(request: RelayRequest) {
    #expect(throws: AgentError.self) { try request.check() }
  }

  @Test("who removes a relay that a machine of the network runs is told that it comes back, and how it ends")
  func returningRelays() async throws {
    let (directory, identity) = try machine("a", 47)
    let (_, member) = try machine("b", 48)
    let commands = MeshCommands(directory)
    _ = try await commands.createNetwork(UpRequest(create: "home"), identity: identity)
    _ = try await commands.addPeer(member.did, label: "member")
    let own = try MeshRelay(in: directory, logger: Logger(label: "test")).certificate
    var offered = RelayPlan(host: .name("b.example.com"), port: 8788, certSHA256: own, region: "b")
    offered.nodeDID = member.did
    do {
      let network = try #require(try directory.loadNetwork())
      let session = try await MeshSession.open(directory, identity)
      defer { session.close() }
      try await session.announce(
        RelayPlan(host: .name("a.example.com"), port: 8787, certSHA256: own, region: "a"), in: network)
      let (id, plan) = (network.reference.id, offered)
      _ = try await session.keeper.perform {
        try $0.addRelay(plan, to: id, now: .now(), random: SystemRandom())
      }
    }
    _ = try await commands.addRelay(RelayRequest(url: "https://relay.example.com"))
    func warnings(_ id: UInt16) async throws -> [String] {
      try await commands.removeRelay(id)["warnings"]?.array?.compactMap(\.string) ?? []
    }
    for id: UInt16 in [1, 2] {
      let told = try await warnings(id)
      #expect(told.count == 1 && told[0].contains("--no-relay"), "\(id): \(told)")
    }
    #expect(try await warnings(3).isEmpty)
  }

  @Test("a relay's name alone is for networks with encryption v1, whose records hold names")
  func relayNames() async throws {
    let name = RelayRequest(url: "relay.example.com")
    let (jwe, first) = try machine("jwe", 44)
    _ = try await MeshCommands(jwe).createNetwork(UpRequest(create: "home"), identity: first)
    await #expect(throws: AgentError.self) { try await MeshCommands(jwe).addRelay(name) }

    let (v1, second) = try machine("v1", 45)
    let commands = MeshCommands(v1)
    _ = try await commands.createNetwork(UpRequest(create: "shared", envelope: .v1), identity: second)
    let relay = try await commands.addRelay(name)["relay"]
    #expect(relay?["id"] == 1 && relay?["url"] == "https://relay.example.com:443" && relay?["stunPort"] == 3478)
    #expect(try await commands.addRelay(RelayRequest(url: "https://other.example.com"))["relay"]?["id"] == 2)
    for wrong in [
      RelayRequest(url: "https://relay.example.com:8787"), RelayRequest(url: "https://192.0.2.1"),
      RelayRequest(url: "third.example.com", pin: String(repeating: "ab", count: 32)),
      RelayRequest(url: "third.example.com", stunPorts: [0]),
      RelayRequest(url: "third.example.com", stunPorts: [3478, 3479]),
      RelayRequest(url: "third.example.com", stunOnly: true),
    ] {
      await #expect(throws: LedgerError.self, "\(wrong)") { try await commands.addRelay(wrong) }
    }
    _ = try await commands.removeRelay(1)
    #expect(try await commands.relays()["relays"]?.array?.map { $0["id"] } == [1])
  }

  @Test("where somebody else's node holds the records and there is no relay, the anchor is told what helps")
  func relayWarning() throws {
    var network = NetworkState(
      networkID: try #require(RecordID("bafynetwork")), anchor: try machine("a", 43).1.did, name: "home",
      endpoints: ["https://dwn.example.com"], embedsNode: false)
    let warnings = MeshOperations.warnings(of: network, hasRelay: false)
    #expect(warnings.count == 1)
    #expect(warnings.first?.contains("--relay") == true && warnings.first?.contains("relay add") == true)
    #expect(MeshOperations.warnings(of: network, hasRelay: true) == [])
    network.embedsNode = true
    network.endpoints = ["http://203.0.113.1:8787"]
    #expect(MeshOperations.warnings(of: network, hasRelay: false) == [])
    network.endpoints = ["http://192.168.1.2:8787"]
    #expect(MeshOperations.warnings(of: network, hasRelay: true).count == 1)
  }

  @Test("leaving forgets the network, and says so only once")
  func leave() async throws {
    let (directory, identity) = try machine("a", 6)
    let commands = MeshCommands(directory)
    #expect(try await commands.leaveNetwork() == nil)
    _ = try await commands.createNetwork(UpRequest(create: "home"), identity: identity)
    await #expect(throws: AgentError.wouldAbandon(network: "home")) { try await commands.leaveNetwork() }
    #expect(try await commands.status()["network"] == "home")
    #expect(try await commands.leaveNetwork(abandons: true) == "home")
    #expect(try await commands.leaveNetwork() == nil)
    #expect(try await commands.status()["network"] == nil)
  }

  @Test("the policy of a new network accepts everything, by a decision")
  func policy() async throws {
    let (directory, identity) = try machine("a", 7)
    let commands = MeshCommands(directory)
    _ = try await commands.createNetwork(UpRequest(create: "home"), identity: identity)
    let policy = try await commands.policy()
    #expect(policy["policy"]?["version"]?.integer == 1)
    #expect(policy["policy"]?["defaultAction"] == "accept")
  }

  @Test("a network that was being made when the process died is there whole, or not at all")
  func interruptedCreation() async throws {
    let (directory, identity) = try machine("a", 9)
    let commands = MeshCommands(directory)
    let created = try await commands.createNetwork(UpRequest(create: "home"), identity: identity)
    let network = try #require(try directory.loadNetwork())
    // Died after the ledger's commit: the next command takes the network up.
    try directory.prepare(network)
    try directory.remove(NetworkState.file)
    let session = try await MeshSession.open(directory, identity)
    session.close()
    #expect(try directory.loadNetwork() == network)
    #expect(try await commands.status()["networkRecordID"] == created["networkId"])
    // Died before it: nothing of it remains.
    let (other, owner) = try machine("b", 10)
    try other.prepare(network)
    try await MeshSession.open(other, owner).close()
    #expect(try other.loadNetwork() == nil)
    #expect(other.preparedNetwork == nil)
  }

  @Test("who only looks makes nothing and decides nothing")
  func looking() async throws {
    let (directory, identity) = try machine("a", 11)
    let commands = MeshCommands(directory)
    let created = try await commands.createNetwork(UpRequest(create: "home"), identity: identity)
    let network = try #require(try directory.loadNetwork())
    try directory.prepare(network)
    #expect(try await commands.status()["head"]?["seq"]?.integer == 1)
    #expect(
      directory.preparedNetwork == network, "what becomes of it is the next command's to say that changes something")
    try directory.discardPreparedNetwork()
    try directory.remove(SQLiteMeshStore.file)
    let before = try FileManager.default.contentsOfDirectory(atPath: directory.path).sorted()
    #expect(try await commands.status()["networkRecordID"] == created["networkId"])
    #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path).sorted() == before)
  }

  @Test("'up' fits the network that the directory is in, or says what stands in the way")
  func upAgainst() async throws {
    let (directory, identity) = try machine("a", 8)
    #expect(throws: AgentError.noNetwork) { try UpRequest().checkAgainst(nil) }
    try UpRequest(create: "home").checkAgainst(nil)
    _ = try await MeshCommands(directory).createNetwork(UpRequest(create: "home"), identity: identity)
    let network = try #require(try directory.loadNetwork())
    try UpRequest().checkAgainst(network)
    try UpRequest(anchor: identity.did, networkID: network.networkID).checkAgainst(network)
    let other = RecordID("bafyreidkb7w4slt36fzuqxpzjjv53zuulbou4yqrlnyfzxp6xajoarxu24")
    for request in [UpRequest(create: "second"), UpRequest(anchor: identity.did, networkID: other)] {
      #expect(throws: AgentError.anotherNetwork(name: "home")) { try request.checkAgainst(network) }
    }
  }

  @Test(
    "names, blocks and URLs that cannot work are refused before anything is written",
    arguments: [
      UpRequest(create: ""), UpRequest(create: String(repeating: "n", count: 65)), UpRequest(create: "a\nb"),
      UpRequest(create: "home", cidr: "10.0.0.0/31"), UpRequest(create: "home", cidr: "fd00::/64"),
      UpRequest(create: "home", cidr: "127.0.0.0/8"), UpRequest(create: "home", cidr: "44.1.0.0/16"),
      UpRequest(create: "home", endpoints: ["ftp://example.org"]), UpRequest(create: "home", endpoints: ["nonsense"]),
    ])
  func check(request: UpRequest) {
    #expect(throws: AgentError.self) { try request.check() }
  }

  // MARK: Encryption v1

  @Test("a network with encryption v1 says that it has it, has no head, and is read back as it was")
  func createV1() async throws {
    let (directory, identity) = try machine("a", 31)
    let commands = MeshCommands(directory)
    let created = try await commands.createNetwork(UpRequest(create: "home", envelope: .v1), identity: identity)
    #expect(created["envelope"] == "v1")
    let status = try await commands.status()
    #expect(status["envelope"] == "v1" && status["replayable"] == true)
    #expect(status["head"] == nil)
    #expect(status["notes"]?.array?.contains { $0.string?.contains("replayable") ?? false } == true)
    #expect(try directory.loadNetwork()?.envelope == .v1)
    let (_, other) = try machine("b", 32)
    let added = try await commands.addPeer(other.did, label: "b")
    #expect(added["delivered"] == false)
    #expect(added["command"]?.string?.contains("v1") == false)
    #expect(try await commands.removePeer(other.did)["did"] == .string(other.did.text))
    await #expect(throws: (any Error).self) { try await commands.removePeer(other.did) }
  }

  @Test("an identity that has a network with one envelope makes none with the other")
  func otherEnvelope() async throws {
    let (directory, identity) = try machine("a", 33)
    let commands = MeshCommands(directory)
    _ = try await commands.createNetwork(UpRequest(create: "home", envelope: .v1), identity: identity)
    _ = try await commands.leaveNetwork(abandons: true)
    await #expect(throws: LedgerError.otherEnvelope(.v1)) {
      try await commands.createNetwork(UpRequest(create: "work"), identity: identity)
    }
    #expect(try directory.loadNetwork() == nil)
  }

  @Test("a file that names an envelope that nobody knows is not taken for one that names none")
  func unknownEnvelope() throws {
    let (directory, identity) = try machine("a", 34)
    let state = NetworkState(
      networkID: try #require(RecordID("bafynet")), anchor: identity.did, name: "n", endpoints: [], embedsNode: false)
    #expect(NetworkState(state.json)?.envelope == .jwe)
    var json = try #require(state.json.object)
    json["envelope"] = nil
    #expect(NetworkState(.object(json))?.envelope == .jwe)
    json["envelope"] = "v2"
    #expect(NetworkState(.object(json)) == nil)
    _ = directory
  }
}
