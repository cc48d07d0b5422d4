import Cryptography
import DWN
import Foundation
import Identity
import Synchronization
import TestSupport
import Wire

@testable import DWNNode

/// Somebody who signs.
struct Person: Sendable {
  let signer: MessageSigner
  var did: DID { signer.did }

  init(_ name: String) {
    let seed = SHA2.sha256(Array("meshd-fixture:\(name)".utf8))
    signer = MessageSigner(MachineIdentity(seed: SecretBytes(seed))!)
  }
}

/// A node in a folder of its own, with a tenant and people who are none.
final class TestTenancy: Sendable {
  static let protocolURI = "https://example.org/test"

  let node: DWNNode
  let folder: URL
  let alice = Person("alice")
  let bob = Person("bob")
  let carol = Person("carol")
  private let clock = Mutex<Int64>(1_800_000_000_000_000)

  var databasePath: String { folder.appendingPathComponent("node.sqlite").path }

  /// `nodeTime` is what the node's clock shows, `uptime` what its rates go by.
  init(
    limits: NodeLimits = NodeLimits(), directory: any DIDDirectory = OfflineResolver(),
    nodeTime: @escaping @Sendable () -> WallTime = { .now() }, uptime: @escaping @Sendable () -> Instant = { .now() }
  ) throws {
    folder = FileManager.default.temporaryDirectory.appendingPathComponent("dwnnode-\(UUID().uuidString)")
    let store = try SQLiteMessageStore(path: folder.appendingPathComponent("node.sqlite").path, limits: limits)
    node = DWNNode(
      store: store, tenants: [alice.did], limits: limits, directory: directory, clock: nodeTime, uptime: uptime)
  }

  deinit {
    let folder = folder
    let node = node
    Task {
      await node.close()
      try? FileManager.default.removeItem(at: folder)
    }
  }

  /// Each time later than the one before.
  func tick() -> WallTime {
    WallTime(
      microseconds: clock.withLock {
        $0 += 1_000
        return $0
      })
  }

  func send(_ message: SignedMessage, data: [UInt8]? = nil) async throws -> Reply {
    try await node.process(tenant: alice.did, message: message.message.value, data: data)
  }

  /// The status code that a message gets, and for refusals the code before the colon.
  func status(_ message: SignedMessage, data: [UInt8]? = nil) async throws -> String {
    let reply = try await send(message, data: data)
    let name = reply.status.detail.split(separator: ":").first.map(String.init) ?? ""
    return reply.status.isSuccess || name == reply.status.detail
      ? "\(reply.status.code)" : "\(reply.status.code) \(name)"
  }

  /// Installs a protocol at `protocolURI` whose structure is given; every type in it takes any JSON.
  func install(
    _ structure: String, types: [String: String] = [:], uri: String = TestTenancy.protocolURI, published: Bool = true
  ) async throws -> Reply {
    try await send(
      alice.signer.protocolsConfigure(definition(structure, types: types, uri: uri, published: published), at: tick()))
  }

  func definition(
    _ structure: String, types: [String: String] = [:], uri: String = TestTenancy.protocolURI, published: Bool = true
  ) throws -> JSONValue {
    let tree = try JSONValue(parsing: structure)
    var declared = JSONObject()
    func declare(_ value: JSONValue) throws {
      for (name, child) in value.object?.members ?? [] where !name.hasPrefix("$") {
        declared[name] = try JSONValue(parsing: types[name] ?? "{}")
        try declare(child)
      }
    }
    try declare(tree)
    return [
      "protocol": .string(uri), "published": .bool(published), "types": .object(declared), "structure": tree,
    ]
  }

  func draft(
    _ path: ProtocolPath, below parent: RecordsWrite? = nil, to recipient: Person? = nil, tags: JSONObject? = nil,
    published: Bool? = nil, squash: Bool = false, role: ProtocolPath? = nil, schema: String? = nil, data: String = "{}"
  ) -> RecordDraft {
    RecordDraft(
      protocolURI: Self.protocolURI, path: path, parent: parent?.contextID, schema: schema, recipient: recipient?.did,
      tags: tags, published: published, squash: squash, protocolRole: role, data: Array(data.utf8))
  }

  /// Writes a record that must be accepted.
  func write(
    _ author: Person, _ path: ProtocolPath, below parent: RecordsWrite? = nil, to recipient: Person? = nil,
    tags: JSONObject? = nil, published: Bool? = nil, squash: Bool = false, role: ProtocolPath? = nil,
    data: String = "{}"
  ) async throws -> RecordsWrite {
    let draft = draft(
      path, below: parent, to: recipient, tags: tags, published: published, squash: squash, role: role, data: data)
    let write = author.signer.recordsWrite(draft, at: tick())
    let reply = try await send(write.signed, data: draft.data)
    guard reply.status.code == 202 else { throw Unexpected(text: "\(path): \(reply.status)") }
    return write
  }

  /// The status of a first write.
  func attempt(_ author: Person, _ draft: RecordDraft) async throws -> String {
    try await status(author.signer.recordsWrite(draft, at: tick()).signed, data: draft.data)
  }

  /// The status of a later write.
  func attempt(_ author: Person, updating earlier: RecordsWrite, data: String, role: ProtocolPath? = nil) async throws
    -> String
  {
    var draft = RecordDraft(updating: earlier, data: Array(data.utf8))
    draft.protocolRole = role
    return try await status(author.signer.recordsWrite(draft, at: tick()).signed, data: draft.data)
  }

  /// The data of the records that a query shows, in its order.
  func query(_ reader: Person, _ filter: RecordsFilter, role: ProtocolPath? = nil) async throws -> [String] {
    let reply = try await send(reader.signer.recordsQuery(filter, at: tick(), role: role))
    guard reply.status.code == 200 else { throw Unexpected(text: "\(reply.status)") }
    return reply.entries.map { String(decoding: $0.data ?? [], as: UTF8.self) }
  }

  struct Unexpected: Error, CustomStringConvertible {
    let text: String
    var description: String { text }
  }
}
