import Control
import DWN
import Identity
import Mesh
import TestSupport
import Testing
import Wire

@testable import Agent

@Suite("Which nodes hold the records")
struct NodeChangeTests {
  private static let identity = MachineIdentity.generate(random: SeededRandom(17))
  private static let id = RecordID("bafyreidkb7w4slt36fzuqxpzjjv53zuulbou4yqrlnyfzxp6xajoarxu24")!

  private func network(_ endpoints: [String], embedsNode: Bool = false, replicas: [String] = []) -> NetworkState {
    NetworkState(
      networkID: Self.id, anchor: Self.identity.did, name: "home", endpoints: endpoints, embedsNode: embedsNode,
      replicas: replicas)
  }

  @Test("endpoints alone are those of the network that there is, and cannot take the place of an own node")
  func endpointsAlone() throws {
    let request = UpRequest(endpoints: ["https://b.example"])
    #expect(try request.completed(by: nil) == request)
    let foreign = network(["https://a.example"])
    let completed = try request.completed(by: foreign)
    #expect(completed.networkID == Self.id && completed.anchor == Self.identity.did)
    #expect(completed.movesOwn(foreign, of: Self.identity.did))
    #expect(!completed.movesOwn(foreign, of: MachineIdentity.generate(random: SeededRandom(18)).did))
    #expect(throws: AgentError.holdsRecordsItself) {
      try request.completed(by: network(["http://192.0.2.1:8787"], embedsNode: true))
    }
    let creating = UpRequest(create: "home", endpoints: ["https://b.example"])
    #expect(try creating.completed(by: nil) == creating)
  }

  @Test("replicas are kept until others are named, in one spelling and once, and 'none' ends them")
  func replicas() throws {
    let there = network(["http://192.0.2.1:8787"], embedsNode: true, replicas: ["https://a.example"])
    func replicas(_ urls: [String]) throws -> [String] {
      try UpRequest(replicas: urls).replicas(of: there, embedsNode: true)
    }
    #expect(try replicas([]) == ["https://a.example"])
    #expect(
      try replicas(["https://B.example/", "https://b.example:443", "http://c.example"]) == [
        "https://b.example", "http://c.example",
      ])
    #expect(try replicas(["none"]) == [])
    #expect(try UpRequest().replicas(of: nil, embedsNode: true) == [])
    #expect(throws: AgentError.holdsNoRecordsItself) {
      try UpRequest(replicas: ["https://a.example"]).replicas(of: network(["https://b.example"]), embedsNode: false)
    }
    #expect(
      UpRequest(replicas: ["https://a.example", "none"]).arguments == ["--replica=https://a.example", "--replica=none"])
  }

  @Test("what is asked of nodes of others, and what this machine's own node is called")
  func roles() {
    let (own, replica) = ("http://192.0.2.1:8787", "https://a.example")
    let embedding = network([replica, own], embedsNode: true, replicas: [replica])
    #expect(embedding.foreignEndpoints == [replica] && embedding.ownURLs == [own])
    let foreign = network([replica])
    #expect(foreign.foreignEndpoints == [replica] && foreign.ownURLs == [])
  }

  @Test("the own URLs and the replicas share what a record has room for")
  func room() {
    let (own, replicas) = ((0..<20).map { "http://192.0.2.\($0):8787" }, (0..<20).map { "https://node\($0).example" })
    #expect(NodeURLs.named(Array(own[..<2]), replicas: Array(replicas[..<1])) == [own[0], own[1], replicas[0]])
    #expect(NodeURLs.named(own, replicas: Array(replicas[..<3])) == Array(own[..<13] + replicas[..<3]))
    #expect(NodeURLs.named(Array(own[..<2]), replicas: replicas) == [own[0]] + Array(replicas[..<15]))
    #expect(NodeURLs.named([], replicas: replicas) == Array(replicas[..<16]))
  }

  @Test("an own node is no replica of itself")
  func ownReplica() {
    let own = ["http://192.0.2.1:8787", "http://[2001:db8::1]:8787"]
    #expect(throws: AgentError.self) { try UpRequest(replicas: ["http://192.0.2.1:8787/"]).checkReplicas(besides: own) }
    #expect(throws: Never.self) { try UpRequest(replicas: ["https://a.example"]).checkReplicas(besides: own) }
    #expect(throws: Never.self) { try UpRequest(replicas: ["none"]).checkReplicas(besides: own) }
  }

  @Test("an anchor whose ledger takes no decisions any more says where it is, as long as that is no news")
  func stoppedLedger() async throws {
    let folder = TemporaryFolder()
    let directory = try StateDirectory(opening: folder.path)
    let identity = try directory.identity(orMaking: SeededRandom(20))
    let urls = ["http://192.0.2.1:8787"]
    func stop() async throws -> NetworkState {
      let session = try await MeshSession.open(directory, identity)
      defer { session.close() }
      let network = try await session.createNetwork(named: "n", cidr: nil, endpoints: urls, embedsNode: true)
      let elsewhere = MessageSigner(identity).recordsDelete(network.networkID, prune: false, at: .now())
      var change = StoreChange()
      change.foreign = [
        StoredMessage(element: elsewhere.element, json: elsewhere.message.value.encoded, data: nil)
      ]
      try await session.store.commit(change)
      return network
    }
    var network = try await stop()
    let session = try await MeshSession.open(directory, identity)
    defer { session.close() }
    try await session.advertise(urls, in: &network)
    await #expect(throws: LedgerError.self) {
      var network = network
      try await session.advertise(["http://192.0.2.2:8787"], in: &network)
    }
    #expect(try directory.loadNetwork()?.endpoints == urls)
  }

  @Test("a move that was interrupted ends with the nodes that the network's record names")
  func interrupted() async throws {
    let folder = TemporaryFolder()
    let directory = try StateDirectory(opening: folder.path)
    let identity = try directory.identity(orMaking: SeededRandom(21))
    let session = try await MeshSession.open(directory, identity)
    defer { session.close() }
    var network = try await session.createNetwork(
      named: "n", cidr: nil, endpoints: ["https://a.example"], embedsNode: false)
    // Killed before the ledger, and after it.
    network.left = network.endpoints
    try await session.endMove(&network)
    #expect(network.endpoints == ["https://a.example"] && network.left == [])
    let id = network.reference.id
    try await session.keeper.perform { ledger in
      try ledger.updateNetwork(id, now: .now()) { $0.anchorEndpoints = ["https://b.example"] }
    }
    network.left = network.endpoints
    try await session.endMove(&network)
    #expect(network.endpoints == ["https://b.example"] && network.left == ["https://a.example"])
    #expect(try directory.loadNetwork() == network)
  }

  @Test("URLs of nodes are checked, and not more than a record has")
  func checks() {
    #expect(throws: AgentError.self) { try UpRequest(replicas: ["dwn.example.org"]).check() }
    #expect(throws: Never.self) { try UpRequest(replicas: ["none"]).check() }
    let urls = (0...16).map { "https://node\($0).example" }
    #expect(throws: AgentError.self) { try UpRequest(endpoints: urls).check() }
    #expect(throws: AgentError.self) { try UpRequest(advertise: [urls[16]], replicas: Array(urls[..<16])).check() }
    #expect(throws: Never.self) { try UpRequest(replicas: Array(urls[..<16])).check() }
  }
}

@Suite("Commands between a command line and a daemon")
struct MeshCommandTests {
  @Test("what is asked for arrives")
  func roundTrip() throws {
    let did = MachineIdentity.generate(random: SeededRandom(19)).did
    let relay = RelayRequest(url: "https://relay.example", region: "home", stunPorts: [3478], stunOnly: false)
    let commands: [MeshCommand] = [
      .addPeer(did, label: "Zoë"), .approvePeer(did), .removePeer(did), .addRelay(relay), .removeRelay(901), .relays,
      .policy,
    ]
    for command in commands {
      let request = command.request
      let name = try #require(request.path.split(separator: "/").last.map(String.init))
      #expect(try MeshCommand(name, JSONValue(parsing: request.body)) == command)
      #expect(try PathCommand(name, JSONValue(parsing: request.body)) == nil)
    }
    for command in [PathCommand.netcheck(renewsKey: true), .ping("laptop", within: .milliseconds(1500))] {
      let request = command.request
      let name = try #require(request.path.split(separator: "/").last.map(String.init))
      #expect(try PathCommand(name, JSONValue(parsing: request.body)) == command)
      #expect(try MeshCommand(name, JSONValue(parsing: request.body)) == nil)
    }
  }

  @Test("what cannot be meant is named, and a wait has bounds")
  func refusals() throws {
    for name in ["peer-add", "peer-approve", "peer-remove", "relay-add", "relay-remove"] {
      #expect(throws: AgentError.self) { try MeshCommand(name, [:]) }
    }
    #expect(throws: AgentError.self) { try MeshCommand("relay-remove", ["id": 70_000]) }
    #expect(throws: AgentError.self) { try PathCommand("ping", [:]) }
    #expect(try MeshCommand("fly", [:]) == nil)
    #expect(try PathCommand("ping", ["peer": "x", "timeoutMs": -5]) == .ping("x", within: .milliseconds(1)))
    #expect(try PathCommand("ping", ["peer": "x", "timeoutMs": 900_000]) == .ping("x", within: .seconds(60)))
    #expect(try PathCommand("ping", ["peer": "x"]) == .ping("x", within: .seconds(5)))
  }
}
