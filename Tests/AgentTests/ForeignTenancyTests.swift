import DWN
import DWNNode
import Identity
import Logging
import Mesh
import TestSupport
import Testing
import Wire

@testable import Agent

/// A network's records on a node of somebody else, who takes whoever registers.
@Suite("Becoming a tenant of a node that somebody else runs", .timeLimit(.minutes(10)))
struct ForeignTenancyTests {
  private let folder = TemporaryFolder()

  private func machine(_ name: String, _ seed: UInt64) throws -> (MeshCommands, MachineIdentity) {
    let directory = try StateDirectory(opening: folder.path + "/" + name)
    return (MeshCommands(directory, patience: .seconds(300)), try directory.identity(orMaking: SeededRandom(seed)))
  }

  private func node(
    _ tenants: Tenancy, limits: NodeLimits = NodeLimits(), in name: String = "node"
  ) async throws -> (EmbeddedNode, url: String) {
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    let node = try await EmbeddedNode.start(
      in: StateDirectory(opening: folder.path + "/" + name), tenants: tenants, listen: [SocketAddress("127.0.0.1:0")!],
      limits: limits, logger: logger)
    return (node, "http://\(node.listeners[0])")
  }

  private func registering(terms: String? = nil) -> Tenancy {
    .registered(RegistrationRequirements(terms: terms, work: 4), named: [])
  }

  @Test("where a proof of work is all that is asked for, a network is made without a question")
  func work() async throws {
    let (commands, identity) = try machine("a", 61)
    let (node, url) = try await node(registering())
    let created = try await commands.createNetwork(UpRequest(create: "home", endpoints: [url]), identity: identity)
    #expect(created["published"] == true)
    await node.stop()
  }

  @Test("terms are named with their place and their flag, nothing is made without it, and with it everything is")
  func terms() async throws {
    let (commands, identity) = try machine("a", 62)
    let (node, url) = try await node(registering(terms: "Be kind."))
    var request = UpRequest(create: "home", endpoints: [url])
    await #expect(
      throws: AgentError.failed(
        "\(url) has terms of service: read them at \(url)/registration/terms-of-service, and agree with --accept-terms")
    ) { try await commands.createNetwork(request, identity: identity) }
    #expect(try await commands.status()["network"] == nil)
    request.acceptsTerms = true
    #expect(request.arguments.contains("--accept-terms"))
    #expect(try await commands.createNetwork(request, identity: identity)["published"] == true)
    await node.stop()
  }

  @Test("who joins a network with heads needs no tenancy; with encryption v1 it does, and is told the same")
  func joining() async throws {
    let (node, url) = try await node(registering(terms: "Be kind."))
    for (index, envelope) in [Envelope.jwe, .v1].enumerated() {
      let (commands, anchor) = try machine("anchor\(index)", 63 + UInt64(index))
      let created = try await commands.createNetwork(
        UpRequest(create: "home", envelope: envelope, endpoints: [url], acceptsTerms: true), identity: anchor)
      let (member, identity) = try machine("member\(index)", 73 + UInt64(index))
      var request = UpRequest(
        endpoints: [url], anchor: anchor.did, networkID: RecordID(created["networkId"]?.string ?? ""))
      if envelope == .v1 {
        let refusal = await #expect(throws: AgentError.self) {
          try await member.joinNetwork(request, identity: identity)
        }
        #expect(refusal?.description.contains("--accept-terms") == true)
        #expect(try await member.status()["network"] == nil)
        request.acceptsTerms = true
      }
      for _ in 0..<2 {
        let joined = try await member.joinNetwork(request, identity: identity)
        #expect(joined["network"] == "home")
        #expect(joined["admitted"] == false, "nobody added it, the second time as well")
      }
      // Nothing answers there: what works stays.
      var elsewhere = request
      elsewhere.endpoints = ["http://127.0.0.1:1"]
      await #expect(throws: (any Error).self) { try await member.joinNetwork(elsewhere, identity: identity) }
      #expect(try await member.status()["anchorEndpoints"]?.array == [.string(url)])
    }
    await node.stop()
  }

  @Test("an operator who names the tenants is named as the one to ask")
  func named() async throws {
    let (commands, identity) = try machine("a", 65)
    let (node, url) = try await node([])
    await #expect(
      throws: AgentError.failed(
        "\(url) does not serve this machine: 401 Not a registered tenant.; its operator adds --tenant \(identity.did)")
    ) { try await commands.createNetwork(UpRequest(create: "home", endpoints: [url]), identity: identity) }
    await node.stop()
  }

  @Test("a node that does not take the encryption of meshd's networks is no dead end: --v1 is named, and works there")
  func otherEnvelope() async throws {
    let (node, url) = try await node(.open, limits: NodeLimits(isStrict: true))
    let (refused, first) = try machine("a", 66)
    let refusal = await #expect(throws: AgentError.self) {
      try await refused.createNetwork(UpRequest(create: "home", endpoints: [url]), identity: first)
    }
    #expect(refusal?.description.contains(url) == true && refusal?.description.contains("--v1") == true)
    #expect(try await refused.status()["network"] == nil)
    let (commands, second) = try machine("b", 67)
    let request = UpRequest(create: "home", envelope: .v1, endpoints: [url])
    #expect(try await commands.createNetwork(request, identity: second)["published"] == true)
    await node.stop()
  }

  @Test(
    "before anything is written every node is asked what it takes: one that would refuse the records is named, the others have nothing"
  )
  func askedBefore() async throws {
    let (node, url) = try await node(.open)
    let (narrow, narrowURL) = try await self.node(.open, limits: NodeLimits(isStrict: true), in: "narrow")
    let (commands, identity) = try machine("a", 68)
    let refusal = await #expect(throws: AgentError.self) {
      try await commands.createNetwork(UpRequest(create: "home", endpoints: [url, narrowURL]), identity: identity)
    }
    let words = refusal?.description ?? ""
    #expect(words.contains(narrowURL) && words.contains("SchemaValidator") && words.contains("--v1"), "\(words)")
    #expect(try await commands.status()["network"] == nil)
    let query = MessageSigner(identity).protocolsQuery(protocolURI: nil, at: .now())
    let shown = try await node.node.process(tenant: identity.did, message: query.message.value, data: nil)
    #expect(shown.status.code == 200 && shown.entries.isEmpty)

    _ = try await commands.createNetwork(UpRequest(create: "home", endpoints: [url]), identity: identity)
    let (member, other) = try machine("b", 69)
    let id = try await commands.status()["networkRecordID"]?.string ?? ""
    let join = UpRequest(endpoints: [url, narrowURL], anchor: identity.did, networkID: RecordID(id))
    let refused = await #expect(throws: AgentError.self) { try await member.joinNetwork(join, identity: other) }
    #expect(refused?.description.hasPrefix("\(narrowURL) does not take the records of this network") == true)
    #expect(try await member.status()["network"] == nil)
    await node.stop()
    await narrow.stop()
  }

  @Test("a node that keeps less data than a network's records may have is told so, with both numbers")
  func littleRoom() async throws {
    let (node, url) = try await node(.open, limits: NodeLimits(largestData: 1000))
    let (commands, identity) = try machine("a", 70)
    let refusal = await #expect(throws: AgentError.self) {
      try await commands.createNetwork(UpRequest(create: "home", endpoints: [url]), identity: identity)
    }
    #expect(refusal?.description.contains("it takes data of at most 1000 bytes") == true)
    await node.stop()
  }

  @Test("the question leaves nothing behind, whatever the answer is", arguments: [Envelope.jwe, .v1], [false, true])
  func question(envelope: Envelope, isStrict: Bool) async throws {
    let (node, _) = try await node(.open, limits: NodeLimits(isStrict: isStrict))
    let (_, identity) = try machine("a", 71)
    let probe = try AcceptanceProbe(tenant: identity.did, envelope: envelope, random: SeededRandom(1), now: .now())
    let refusal = try await probe.refusal(by: node.node)
    #expect((refusal == nil) == (envelope == .v1 || !isStrict), "\(refusal ?? "")")
    let query = MessageSigner(identity).recordsQuery(RecordsFilter(protocolURI: MeshProtocol.uri), at: .now())
    let shown = try await node.node.process(tenant: identity.did, message: query.message.value, data: nil)
    #expect(shown.status.code == 200 && shown.entries.isEmpty)
    await node.stop()
  }
}
