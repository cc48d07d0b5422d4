import Cryptography
import DWN
import Foundation
import GRDB
import Identity
import TestSupport
import Testing
import Wire

@testable import DWNNode

/// A tenant moves to another node whole, whatever ended at the node that it comes from.
@Suite(.timeLimit(.minutes(10)))
struct EndedRightsTests {
  private let tenancy: TestTenancy
  private let random = SeededRandom(11)
  private static let pathKey = X25519PrivateKey(random: SeededRandom(1))
  private static let uri = TestTenancy.protocolURI

  private var alice: Person { tenancy.alice }
  private var bob: Person { tenancy.bob }
  private var carol: Person { tenancy.carol }
  private var export: String { tenancy.folder.appendingPathComponent("export.zst").path }
  private var other: String { tenancy.folder.appendingPathComponent("other/node.sqlite").path }

  init() throws { tenancy = try TestTenancy() }

  /// Every message of the tenant, and what it stands for.
  private func messages(in path: String) throws -> Set<String> {
    let archive = try NodeArchive(databasePath: path)
    defer { archive.close() }
    return try archive.queue.read { database in
      let rows = try Row.fetchAll(
        database, sql: "SELECT kind, path, cid, is_latest, has_data, share, grant_id FROM message")
      return Set(rows.map { "\($0)" })
    }
  }

  private func move() async throws {
    _ = try TenantExport.run(of: alice.did, in: tenancy.databasePath, to: export, at: tenancy.tick())
    let imported = try await TenantImport.run(export, into: other)
    #expect(imported.refused == [] && imported.withoutData == 0)
    let before = try messages(in: tenancy.databasePath)
    let after = try messages(in: other)
    #expect(before.subtracting(after) == [])
    #expect(imported.messages == before.count && after.count == before.count)
  }

  private func delete(_ record: RecordID, prune: Bool = false) async throws {
    #expect(try await tenancy.status(alice.signer.recordsDelete(record, prune: prune, at: tenancy.tick())) == "202")
  }

  private func store(_ author: Person, _ draft: RecordDraft) async throws -> RecordsWrite {
    let write = author.signer.recordsWrite(draft, at: tenancy.tick())
    #expect(try await tenancy.status(write.signed, data: draft.data) == "202")
    return write
  }

  // MARK: Encryption

  private func installEncrypted() async throws {
    let agreement: JSONObject = ["publicKeyJwk": PublicJWK.x25519(Self.pathKey.publicKey).json]
    let key = "\"$keyAgreement\": \(JSONValue.object(agreement).text)"
    var definition =
      try tenancy.definition(
        """
        {"room": {\(key), "$actions": [{"who": "anyone", "can": ["read"]}],
          "admin": {"$role": true},
          "member": {\(key), "$role": true, "$actions": [{"role": "room/admin", "can": ["create"]}]},
          "note": {\(key), "$actions": [{"role": "room/member", "can": ["create", "read"]}]}}}
        """, types: ["note": #"{"encryptionRequired": true}"#]
      ).object ?? [:]
    definition["$keyAgreement"] = .object(agreement)
    #expect(
      try await tenancy.status(alice.signer.protocolsConfigure(.object(definition), at: tenancy.tick())) == "202")
  }

  private func members(of room: RecordsWrite) throws -> AudienceName {
    try #require(AudienceName(protocolURI: Self.uri, rolePath: "room/member", contextID: room.contextID))
  }

  private func audience(
    of room: RecordsWrite, by author: Person, role: ProtocolPath? = nil
  ) async throws -> (record: RecordsWrite, key: X25519PrivateKey) {
    let (record, key) = try AudienceRecord.mint(
      try members(of: room), roleKey: Self.pathKey.publicKey, random: random)
    var draft = record.draft
    draft.protocolRole = role
    return (try await store(author, draft), key)
  }

  private func deliver(
    _ key: X25519PrivateKey, of room: RecordsWrite, to person: Person, by author: Person, role: ProtocolPath? = nil
  ) async throws -> RecordsWrite {
    var draft = try DeliveryRecord(try members(of: room), key: key)
      .draft(to: person.did, key: Self.pathKey.publicKey, random: random)
    draft.protocolRole = role
    return try await store(author, draft)
  }

  private func note(in room: RecordsWrite, for key: X25519PrivateKey, by author: Person) async throws -> RecordsWrite {
    let (envelope, ciphertext) = try V1Envelope.seal(
      Array("hello".utf8),
      to: [
        V1Envelope.Recipient(Self.pathKey.publicKey, .protocolPath),
        V1Envelope.Recipient(key.publicKey, .roleAudience(protocolURI: Self.uri, rolePath: "room/member")),
      ], random: random)
    var draft = tenancy.draft("room/note", below: room, role: "room/member")
    draft.encryption = envelope.json
    draft.data = ciphertext
    return try await store(author, draft)
  }

  @Test("what was encrypted to an audience stays, though its key was replaced when somebody left")
  func audiences() async throws {
    try await installEncrypted()
    let room = try await tenancy.write(alice, "room")
    let (first, key) = try await audience(of: room, by: alice)
    let membership = try await tenancy.write(alice, "room/member", below: room, to: carol)
    let delivered = try await deliver(key, of: room, to: carol, by: alice)
    _ = try await note(in: room, for: key, by: carol)
    try await delete(membership.recordID)
    let (_, next) = try await audience(of: room, by: alice)
    try await delete(delivered.recordID)
    try await delete(first.recordID)
    _ = try await tenancy.write(alice, "room/member", below: room, to: bob)
    _ = try await deliver(next, of: room, to: bob, by: alice)
    _ = try await note(in: room, for: next, by: bob)
    try await move()
  }

  @Test("what an admin did who is none any more stays: keys, and roles that were given twice")
  func formerAdmin() async throws {
    try await installEncrypted()
    let room = try await tenancy.write(alice, "room")
    let admin = try await tenancy.write(alice, "room/admin", below: room, to: bob)
    let (_, key) = try await audience(of: room, by: bob, role: "room/admin")
    let once = try await tenancy.write(bob, "room/member", below: room, to: carol, role: "room/admin")
    _ = try await deliver(key, of: room, to: carol, by: bob, role: "room/admin")
    try await delete(once.recordID)
    _ = try await tenancy.write(bob, "room/member", below: room, to: carol, role: "room/admin")
    try await delete(admin.recordID)
    try await move()
  }

  @Test("a key that was delivered in a context stays, though the context was pruned with its roles")
  func prunedContext() async throws {
    try await installEncrypted()
    let room = try await tenancy.write(alice, "room")
    let (_, key) = try await audience(of: room, by: alice)
    _ = try await tenancy.write(alice, "room/member", below: room, to: carol)
    _ = try await deliver(key, of: room, to: carol, by: alice)
    try await delete(room.recordID, prune: true)
    try await move()
  }

  // MARK: Grants

  @Test("what was written, deleted and installed by grants stays, though the grants were deleted; and so do their keys")
  func grants() async throws {
    #expect(try await tenancy.install(#"{"a": {"b": {"$role": true}}}"#).status.code == 202)
    let below = try await tenancy.write(alice, "a")
    let writing = try await tenancy.grant(.records("Write"), to: bob)
    let deleting = try await tenancy.grant(.records("Delete"), to: bob)
    let configuring = try await tenancy.grant(
      PermissionScope(.protocols, "Configure", protocolURI: Self.uri), to: bob)
    let reading = try await tenancy.grant(.records("Read", at: "a"), to: bob)
    var draft = tenancy.draft("a")
    draft.permissionGrantID = writing.id
    let written = try await store(bob, draft)
    draft = tenancy.draft("a/b", below: below, to: carol)
    draft.permissionGrantID = writing.id
    _ = try await store(bob, draft)
    #expect(
      try await tenancy.status(
        tenancy.request(
          bob, .recordsDelete(RecordsDelete(written.recordID, prune: false, permissionGrantID: deleting.id)))) == "202")
    // What came later must not stand in the way of what the grant let in before.
    let parent = try await tenancy.write(alice, "a")
    draft = tenancy.draft("a/b", below: parent, to: carol)
    draft.permissionGrantID = writing.id
    try await delete(try await store(bob, draft).recordID)
    _ = try await tenancy.write(alice, "a/b", below: parent, to: carol)
    let changed = try await tenancy.write(alice, "a")
    draft = RecordDraft(updating: changed, data: Array("[]".utf8))
    draft.permissionGrantID = writing.id
    _ = try await store(bob, draft)
    try await delete(changed.recordID)
    let definition = try tenancy.definition(#"{"a": {"b": {"$role": true}, "c": {}}}"#).object ?? [:]
    #expect(
      try await tenancy.status(
        tenancy.request(
          bob, .protocolsConfigure(ProtocolsConfigure(definition, permissionGrantID: configuring.id)))) == "202")
    _ = try await tenancy.write(alice, "a/c", below: below)
    _ = try await store(
      alice,
      RecordDraft(
        protocolURI: EncryptionProtocol.uri, path: "grantKey", schema: GrantKey.schema, recipient: bob.did,
        tags: [
          "grantId": .string(reading.id.text), "protocol": .string(Self.uri), "keyId": "k", "protocolPath": "a",
        ], data: JSONValue.object(["format": "enbox/wrapped-grant-key@1"]).encoded))
    #expect(try await tenancy.store(tenancy.revocation(of: writing)) == "202")
    for grant in [writing, deleting, configuring, reading] { try await delete(grant.id) }
    try await move()
  }

  /// Takes in what the tenant exports with messages that somebody else put there: behind it, or before a line. The other lines may be
  /// changed before.
  private func importing(
    _ added: [SignedMessage], by grant: HeldGrant? = nil, before next: String? = nil,
    change: (inout [String]) throws -> Void = { _ in }
  ) async throws -> (kept: Int, summary: TenantImport.Summary) {
    _ = try TenantExport.run(of: alice.did, in: tenancy.databasePath, to: export, at: tenancy.tick())
    var lines = try ExportFile.lines(of: export)
    try change(&lines)
    let kept = lines.count { $0.contains(#""message":"#) }
    lines.removeLast()
    let place = next.flatMap { next in lines.firstIndex { $0.contains(next) } } ?? lines.endIndex
    for signed in added.reversed() {
      let content: ExportLine.Entry.Content =
        signed.message.kind == .recordsWrite ? .bytes(Array("{}".utf8)) : .none
      let entry = ExportLine.Entry(
        message: signed.message.value, content: content, kept: .init(share: .member, grant: grant?.id))
      lines.insert(ExportLine.message(entry).json.text, at: place)
    }
    lines.append(ExportLine.end(messages: kept + added.count).json.text)
    try ExportFile.write(lines, to: export)
    return (kept, try await TenantImport.run(export, into: other))
  }

  @Test(
    "who had a role has nothing by it later than its delete, before or behind that in the file",
    arguments: [false, true])
  func formerRole(isBefore: Bool) async throws {
    let actions = #""$actions": [{"role": "role", "can": ["create"]}]"#
    #expect(
      try await tenancy.install(#"{"role": {"$role": true, \#(actions)}, "note": {\#(actions)}}"#).status.code == 202)
    let role = try await tenancy.write(alice, "role", to: bob)
    _ = try await tenancy.write(bob, "note", role: "role")
    let inTime = tenancy.tick()
    try await delete(role.recordID)
    func write(_ path: ProtocolPath, to recipient: Person? = nil, at time: WallTime) -> SignedMessage {
      var draft = RecordDraft(protocolURI: Self.uri, path: path, recipient: recipient?.did, data: Array("{}".utf8))
      draft.protocolRole = "role"
      return bob.signer.recordsWrite(draft, at: time).signed
    }
    let late = tenancy.tick() + .seconds(301)
    let refused = [write("note", at: late), write("role", to: carol, at: late)]
    let (kept, imported) = try await importing(
      refused + [write("note", at: inTime)], before: isBefore ? #""method":"Delete""# : nil)
    #expect(imported.messages == kept + 1)
    #expect(Set(imported.refused.map(\.messageCID)) == Set(refused.map(\.message.cid.text)))
  }

  @Test(
    "what a role wrote stays, though its record left no trace: replaced by a squash, or by a younger one where there is room for one",
    arguments: [#""$squash": true"#, #""$recordLimit": {"max": 1, "strategy": "purgeOldest"}"#])
  func passedRole(passing: String) async throws {
    let actions = #""$actions": [{"role": "role", "can": ["create"]}]"#
    let structure = #"{"role": {"$role": true, \#(passing)}, "note": {\#(actions), "below": {\#(actions)}}}"#
    #expect(try await tenancy.install(structure).status.code == 202)
    _ = try await tenancy.write(alice, "role", to: bob)
    let note = try await tenancy.write(bob, "note", role: "role")
    _ = try await tenancy.write(bob, "note/below", below: note, role: "role")
    var successor = tenancy.draft("role", to: carol)
    successor.squash = passing.contains("squash")
    _ = try await store(alice, successor)
    try await move()
    #expect(try messages(in: other).count { $0.contains("note") } == 2)
  }

  @Test("who had a role that passes has nothing by it later than what took its place, nor where nothing did")
  func passedRoleLater() async throws {
    let actions = #""$actions": [{"role": "room/role", "can": ["create"]}]"#
    #expect(
      try await tenancy.install(#"{"room": {"role": {"$role": true, "$squash": true}, "note": {\#(actions)}}}"#)
        .status.code == 202)
    let (room, other) = (try await tenancy.write(alice, "room"), try await tenancy.write(alice, "room"))
    func note(in room: RecordsWrite, at time: WallTime) -> SignedMessage {
      var draft = RecordDraft(
        protocolURI: Self.uri, path: "room/note", parent: room.contextID, data: Array("{}".utf8))
      draft.protocolRole = "room/role"
      return bob.signer.recordsWrite(draft, at: time).signed
    }
    let inTime = tenancy.tick()
    var successor = tenancy.draft("room/role", below: room, to: carol)
    successor.squash = true
    _ = try await store(alice, successor)
    let refused = [note(in: room, at: tenancy.tick() + .seconds(301)), note(in: other, at: inTime)]
    let (kept, imported) = try await importing(refused + [note(in: room, at: inTime)])
    #expect(imported.messages == kept + 1)
    #expect(Set(imported.refused.map(\.messageCID)) == Set(refused.map(\.message.cid.text)))
  }

  @Test("what a grant let in stays, though the tenant changed its scope; what comes later needs the new one")
  func changedGrant() async throws {
    #expect(try await tenancy.install(#"{"a": {}}"#).status.code == 202)
    let grant = try await tenancy.grant(.records("Write"), to: bob)
    #expect(try await tenancy.status(write(bob, by: grant), data: Array("{}".utf8)) == "202")
    let form = tenancy.makeGrant(.records("Delete"), to: bob).data
    _ = try await store(alice, RecordDraft(updating: grant.write, data: form))
    let late = write(bob, by: grant)
    #expect(try await tenancy.status(late, data: Array("{}".utf8)) == "401 GrantAuthorizationMethodMismatch")
    let (kept, imported) = try await importing([late], by: grant)
    #expect(imported.messages == kept)
    #expect(imported.refused.map(\.messageCID) == [late.message.cid.text])
  }

  private func write(
    _ author: Person, by grant: HeldGrant, of uri: String = TestTenancy.protocolURI, at time: WallTime? = nil
  ) -> SignedMessage {
    var draft = RecordDraft(protocolURI: uri, path: "a", data: Array("{}".utf8))
    draft.permissionGrantID = grant.id
    return author.signer.recordsWrite(draft, at: time ?? tenancy.tick()).signed
  }

  @Test(
    "a grant that ended gives nothing to others than its holder, nor for another protocol, before it was given, or later than its delete"
  )
  func limits() async throws {
    let early = tenancy.tick()
    for uri in [Self.uri, "https://example.org/other"] {
      #expect(try await tenancy.install(#"{"a": {}}"#, uri: uri).status.code == 202)
    }
    let grant = try await tenancy.grant(.records("Write"), to: bob)
    let inTime = tenancy.tick()
    try await delete(grant.id)
    let refused = [
      write(carol, by: grant, at: inTime), write(bob, by: grant, of: "https://example.org/other", at: inTime),
      write(bob, by: grant, at: early), write(bob, by: grant),
    ]
    let (kept, imported) = try await importing(refused + [write(bob, by: grant, at: inTime)], by: grant)
    #expect(imported.messages == kept + 1)
    #expect(Set(imported.refused.map(\.messageCID)) == Set(refused.map(\.message.cid.text)))
    #expect(imported.refused.allSatisfy { $0.reason.contains("GrantAuthorizationGrantMissing") })
  }

  @Test("a grant that was revoked gives nothing later than that, however much later it was deleted")
  func revoked() async throws {
    #expect(try await tenancy.install(#"{"a": {}}"#).status.code == 202)
    let grant = try await tenancy.grant(.records("Write"), to: bob)
    let inTime = tenancy.tick()
    #expect(try await tenancy.store(tenancy.revocation(of: grant)) == "202")
    let late = write(bob, by: grant)
    try await delete(grant.id)
    let (kept, imported) = try await importing([late, write(bob, by: grant, at: inTime)], by: grant)
    #expect(imported.messages == kept + 1)
    #expect(imported.refused.map(\.messageCID) == [late.message.cid.text])
  }

  @Test("who leaves out the data of a grant in force gains nothing by it, nor by a delete that the tenant did not sign")
  func leftOut() async throws {
    #expect(try await tenancy.install(#"{"a": {}}"#).status.code == 202)
    let record = try await tenancy.write(alice, "a")
    let grant = try await tenancy.grant(.records("Read", at: "a"), to: bob)
    let definition = try tenancy.definition(#"{"a": {"b": {}}}"#).object ?? [:]
    let refused = [
      write(bob, by: grant),
      tenancy.request(
        bob, .recordsDelete(RecordsDelete(record.recordID, prune: false, permissionGrantID: grant.id))),
      tenancy.request(bob, .protocolsConfigure(ProtocolsConfigure(definition, permissionGrantID: grant.id))),
      bob.signer.recordsDelete(grant.id, prune: false, at: tenancy.tick()),
    ]
    let (kept, imported) = try await importing(refused, by: grant) { lines in
      let index = try #require(lines.firstIndex { $0.contains(grant.id.text) })
      guard case .message(var entry)? = ExportLine(Array(lines[index].utf8)[...]) else {
        throw TestTenancy.Unexpected(text: lines[index])
      }
      entry.content = .none
      lines[index] = ExportLine.message(entry).json.text
    }
    #expect(imported.messages == kept && imported.withoutData == 1)
    #expect(Set(imported.refused.map(\.messageCID)) == Set(refused.map(\.message.cid.text)))
  }

  // MARK: Order

  @Test("a record whose data came after what was written below it takes that along")
  func lateData() async throws {
    #expect(try await tenancy.install(#"{"a": {"b": {"c": {}}}}"#).status.code == 202)
    let draft = tenancy.draft("a")
    let parent = alice.signer.recordsWrite(draft, at: tenancy.tick())
    #expect(try await tenancy.status(parent.signed).hasPrefix("20"))
    let below = tenancy.draft("a/b", below: parent)
    let child = alice.signer.recordsWrite(below, at: tenancy.tick())
    #expect(try await tenancy.status(child.signed).hasPrefix("20"))
    _ = try await tenancy.write(alice, "a/b/c", below: child)
    #expect(try await tenancy.status(child.signed, data: below.data) == "202")
    #expect(try await tenancy.status(parent.signed, data: draft.data) == "202")
    try await move()
  }

  @Test("a definition that came in force again when a grant was revoked takes its records along")
  func reinstated() async throws {
    #expect(try await tenancy.install(#"{"a": {}}"#).status.code == 202)
    _ = try await tenancy.write(alice, "a")
    let grant = try await tenancy.grant(PermissionScope(.protocols, "Configure", protocolURI: Self.uri), to: bob)
    let time = tenancy.tick()
    let definition = try tenancy.definition(#"{"a": {"b": {}}}"#).object ?? [:]
    #expect(
      try await tenancy.status(
        tenancy.request(bob, .protocolsConfigure(ProtocolsConfigure(definition, permissionGrantID: grant.id)))) == "202"
    )
    #expect(try await tenancy.store(tenancy.revocation(of: grant, at: time)) == "202")
    try await move()
  }

  @Test("what a stranger wrote stays, however much of it was deleted, and deleted again")
  func strangers() async throws {
    #expect(
      try await tenancy.install(#"{"a": {"$actions": [{"who": "anyone", "can": ["create"]}]}}"#).status.code == 202)
    var records: [RecordID] = []
    for _ in 0..<50 { records.append(try await tenancy.write(carol, "a").recordID) }
    for record in records.prefix(2) { try await delete(record) }
    for _ in 0..<2 { _ = try await tenancy.write(carol, "a") }
    for record in records.prefix(2) { try await delete(record, prune: true) }
    try await move()
  }
}
