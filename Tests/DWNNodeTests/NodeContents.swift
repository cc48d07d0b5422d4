import DWN
import Foundation
import Identity
import Wire

@testable import DWNNode

/// A tenant with something of everything that a node keeps, and what each reader sees of it.
struct NodeContents {
  static let definition = #"""
    {"room": {
      "$actions": [{"who": "anyone", "can": ["create", "read"]}],
      "member": {"$role": true},
      "note": {"$actions": [{"role": "room/member", "can": ["create", "update", "delete", "read"]}]},
      "state": {"$squash": true, "$actions": [{"role": "room/member", "can": ["create", "squash", "read"]}]}
    }, "blob": {}}
    """#

  let tenancy: TestTenancy
  private(set) var records: [RecordID] = []

  init(_ tenancy: TestTenancy) async throws {
    self.tenancy = tenancy
    let (alice, bob, carol) = (tenancy.alice, tenancy.bob, tenancy.carol)
    for _ in 0..<2 {
      guard try await tenancy.install(Self.definition).status.code == 202 else { throw Unexpected(what: "definition") }
    }
    let room = try await add(alice, "room", tags: ["name": "first", "size": 3], published: true, data: #"{"a":1}"#)
    let member = try await add(alice, "room/member", below: room, to: bob)
    let ended = try await add(alice, "room/member", below: room, to: carol)
    let note = try await add(bob, "room/note", below: room, role: "room/member", data: "1")
    try await update(bob, note, role: "room/member", data: "2")
    _ = try await add(carol, "room/note", below: room, role: "room/member", data: "of one who left")
    let gone = try await add(bob, "room/note", below: room, role: "room/member", data: "3")
    try await update(bob, gone, role: "room/member", data: "4")
    try await delete(bob, gone.recordID, role: "room/member")
    for state in 0..<3 {
      _ = try await add(bob, "room/state", below: room, squash: true, role: "room/member", data: "\(state)")
    }
    try await delete(alice, ended.recordID)
    _ = try await add(alice, "room/member", below: room, to: carol)
    _ = member
    _ = try await add(carol, "room", data: "a stranger's")
    let pruned = try await add(alice, "room")
    _ = try await add(alice, "room/note", below: pruned)
    try await delete(alice, pruned.recordID, prune: true)
    try await large(size: 1 << 20)
  }

  /// What queries and reads of everybody say, as text.
  func seen(by node: DWNNode) async throws -> [String] {
    var seen: [String] = []
    for reader in [tenancy.alice, tenancy.bob, tenancy.carol] {
      let filter = RecordsFilter(protocolURI: TestTenancy.protocolURI)
      var messages = [
        reader.signer.recordsQuery(filter, at: tenancy.tick()),
        reader.signer.protocolsQuery(protocolURI: TestTenancy.protocolURI, at: tenancy.tick()),
      ]
      messages += records.map { reader.signer.recordsRead(RecordsFilter(recordID: $0), at: tenancy.tick()) }
      for message in messages {
        let reply = try await node.process(tenant: tenancy.alice.did, message: message.message.value, data: nil)
        seen.append(
          "\(reader.did.text.suffix(4)) \(message.message.kind): \(reply.json.text) \(DataCID.of(reply.data ?? []))")
      }
    }
    return seen
  }

  private mutating func add(
    _ author: Person, _ path: ProtocolPath, below parent: RecordsWrite? = nil, to recipient: Person? = nil,
    tags: JSONObject? = nil, published: Bool? = nil, squash: Bool = false, role: ProtocolPath? = nil,
    data: String = "{}"
  ) async throws -> RecordsWrite {
    let write = try await tenancy.write(
      author, path, below: parent, to: recipient, tags: tags, published: published, squash: squash, role: role,
      data: data)
    records.append(write.recordID)
    return write
  }

  private func update(_ author: Person, _ write: RecordsWrite, role: ProtocolPath, data: String) async throws {
    let status = try await tenancy.attempt(author, updating: write, data: data, role: role)
    guard status == "202" else { throw Unexpected(what: status) }
  }

  private func delete(
    _ author: Person, _ record: RecordID, role: ProtocolPath? = nil, prune: Bool = false
  ) async throws {
    let message = author.signer.recordsDelete(record, prune: prune, at: tenancy.tick(), role: role)
    let reply = try await tenancy.send(message)
    guard reply.status.code == 202 else { throw Unexpected(what: "\(reply.status)") }
  }

  mutating func large(size: Int) async throws {
    var draft = tenancy.draft("blob")
    draft.data = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31) }
    let write = tenancy.alice.signer.recordsWrite(draft, at: tenancy.tick())
    let incoming = tenancy.node.receive()
    try incoming.append(draft.data)
    let reply = try await tenancy.node.process(
      tenant: tenancy.alice.did, message: write.message.value, received: try incoming.finish())
    guard reply.reply.status.code == 202 else { throw Unexpected(what: "\(reply.reply.status)") }
    records.append(write.recordID)
  }

  struct Unexpected: Error {
    var what: String
  }
}
