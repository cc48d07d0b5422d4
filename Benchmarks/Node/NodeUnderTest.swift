import DWN
import DWNNode
import Foundation
import Identity
import Wire

/// A node with a folder of its own on the disk where the project is built, a tenant, and somebody who holds a role there. It is in this
/// process, or behind sockets.
final class NodeUnderTest: Sendable {
  static let protocolURI = "https://bench.example/mesh"
  static let role: ProtocolPath = "network/member"

  private let clients: [any DWNEndpoint]
  let tenant: MessageSigner
  let member = MessageSigner(MachineIdentity.generate(random: SystemRandom()))
  let network: RecordsWrite
  let folder: URL
  private let clock = RisingClock()

  var databasePath: String { folder.appendingPathComponent("node.sqlite").path }

  /// The node, for one who asks.
  func node(for client: Int) -> any DWNEndpoint { clients[client % clients.count] }

  var node: any DWNEndpoint { clients[0] }

  private init(in folder: URL, tenant: MessageSigner, _ clients: [any DWNEndpoint]) async throws {
    self.folder = folder
    self.tenant = tenant
    self.clients = clients
    let definition: JSONValue = [
      "protocol": .string(Self.protocolURI), "published": false,
      "types": ["network": [:], "member": [:], "machine": [:], "endpoint": [:]],
      "structure": [
        "network": [
          "member": ["$role": true],
          "machine": [
            "endpoint": ["$actions": [["role": .string(Self.role.text), "can": ["read"]]]]
          ],
        ]
      ],
    ]
    try await Self.expect(
      202,
      clients[0].process(
        tenant: tenant.did, message: tenant.protocolsConfigure(definition, at: clock.next()).json, data: nil)
    )
    let network = tenant.recordsWrite(
      RecordDraft(protocolURI: Self.protocolURI, path: "network", data: Array("{}".utf8)), at: clock.next())
    self.network = network
    try await take(network, data: Array("{}".utf8))
    var role = RecordDraft(
      protocolURI: Self.protocolURI, path: Self.role, parent: network.contextID, data: Array("{}".utf8))
    role.recipient = member.did
    try await take(tenant.recordsWrite(role, at: clock.next()), data: role.data)
  }

  /// Gives a node to `body`, ends it afterwards and removes everything.
  static func run<Result>(_ body: (NodeUnderTest) async throws -> Result) async throws -> Result {
    try await within { folder, tenant in
      let node = try DWNNode(
        databasePath: folder.appendingPathComponent("node.sqlite").path, tenants: [tenant.did])
      let result: Swift.Result<Result, any Error>
      do {
        result = .success(try await body(NodeUnderTest(in: folder, tenant: tenant, [node])))
      } catch {
        result = .failure(error)
      }
      await node.close()
      return try result.get()
    }
  }

  /// The same with a node in a process of its own.
  static func overSockets<Result>(_ body: (NodeUnderTest, ServedNode) async throws -> Result) async throws -> Result {
    try await within { folder, tenant in
      let served = try ServedNode(in: folder, tenant: tenant.did)
      let result: Swift.Result<Result, any Error>
      do {
        result = .success(try await body(NodeUnderTest(in: folder, tenant: tenant, served.clients), served))
      } catch {
        result = .failure(error)
      }
      await served.stop()
      return try result.get()
    }
  }

  private static func within<Result>(_ body: (URL, MessageSigner) async throws -> Result) async throws -> Result {
    let folder = URL(fileURLWithPath: ".build/bench-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    return try await body(folder, MessageSigner(MachineIdentity.generate(random: SystemRandom())))
  }

  /// How often a second one core checks the form, the CIDs and the signature of a message: what cannot be shared. The signer's document is
  /// at hand, as a node has it of those who write often.
  static func checks(of message: JSONValue) -> Double {
    let signer = (try? Message(message)).flatMap { try? ClaimedMessage($0) }?.signer
    var documents = DIDDocuments()
    if let signer { documents[signer] = (try? OfflineResolver().resolve(signer)).map { .success($0) } }
    return Interleaving.rates(
      [
        Contender(name: "check") { [documents] count in
          for _ in 0..<count {
            guard let parsed = try? Message(message),
              let signed = try? SignedMessage(checking: parsed, resolver: documents)
            else { preconditionFailure("a signed message does not verify") }
            use(signed)
          }
        }
      ], rounds: 5)[0]
  }

  func time() -> WallTime { clock.next() }

  /// A first write of the tenant's with data of the size that the records of a mesh have.
  func draft(_ path: ProtocolPath, below parent: RecordsWrite, recipient: DID? = nil) -> RecordDraft {
    RecordDraft(
      protocolURI: Self.protocolURI, path: path, parent: parent.contextID, recipient: recipient,
      data: SystemRandom().bytes(400))
  }

  /// A signed first write with its data.
  func signed(_ path: ProtocolPath, below parent: RecordsWrite, recipient: DID? = nil) -> (RecordsWrite, [UInt8]) {
    let draft = draft(path, below: parent, recipient: recipient)
    return (tenant.recordsWrite(draft, at: time()), draft.data)
  }

  /// `client`: who sends it.
  func take(_ write: RecordsWrite, data: [UInt8], from client: Int = 0) async throws {
    try await Self.expect(202, node(for: client).process(tenant: tenant.did, message: write.message.value, data: data))
  }

  static func expect(_ code: Int, _ reply: Reply) throws {
    guard reply.status.code == code else { throw BenchmarkFailure(reason: "\(reply.status)") }
  }
}

extension SignedMessage {
  /// What is sent.
  var json: JSONValue { message.value }
}
