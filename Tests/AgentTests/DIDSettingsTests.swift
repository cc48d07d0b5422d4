import Cryptography
import DWN
import DWNNode
import Identity
import Logging
import TestSupport
import Testing
import Wire

@testable import Agent

@Suite("How a daemon's node resolves DIDs")
struct DIDSettingsTests {
  /// Why the node refuses a message that the owner of a did:dht signed.
  private func refusal(_ settings: DIDSettings) async throws -> String {
    let folder = TemporaryFolder()
    let directory = try StateDirectory(opening: folder.path)
    let machine = MachineIdentity.generate(random: SeededRandom(7))
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    let node = try await EmbeddedNode.start(
      in: directory, tenants: [machine.did], listen: [SocketAddress("127.0.0.1:0")!], dids: settings, logger: logger)
    let key = machine.signingKey
    let did = DHTMethod.did(for: key.publicKey)
    let descriptor: JSONObject = [
      "interface": "Protocols", "method": "Query", "messageTimestamp": "2026-11-21T12:00:00.000000Z",
    ]
    let payload: JSONValue = ["descriptorCid": .string(CID(of: .object(descriptor)).text)]
    let message: JSONValue = [
      "descriptor": .object(descriptor),
      "authorization": ["signature": GeneralJWS.sign(payload.encoded, key: key, kid: "\(did)#0").json],
    ]
    let reply = try await node.node.process(tenant: machine.did, message: message, data: nil)
    await node.stop()
    #expect(reply.status.code == 401)
    return reply.status.detail
  }

  @Test("without a gateway the author of a did:dht is refused, and the refusal says which flag there is")
  func noGateway() async throws {
    #expect(try await refusal(DIDSettings()).contains("--did-dht-gateway"))
  }

  @Test("with one, the gateway is asked")
  func gateway() async throws {
    let settings = DIDSettings(gateway: "http://127.0.0.1:1", allowsPrivateHosts: true)
    #expect(try await refusal(settings).contains("no connection to 127.0.0.1"))
  }

  @Test("a gateway on this machine is none without the other flag")
  func privateGateway() async throws {
    #expect(try await refusal(DIDSettings(gateway: "https://127.0.0.1:1")).contains("at no public address"))
    #expect(throws: AgentError.self) { try DIDSettings(gateway: "http://127.0.0.1:1").check() }
    #expect(throws: AgentError.self) { try DIDSettings(gateway: "http://dht.example.org").check() }
    #expect(throws: AgentError.self) { try DIDSettings(gateway: "dht.example.org", allowsPrivateHosts: true).check() }
    try DIDSettings(gateway: "https://dht.example.org/").check()
  }
}
