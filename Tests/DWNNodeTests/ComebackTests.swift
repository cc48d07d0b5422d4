import DWN
import Foundation
import Identity
import TestSupport
import Testing
import Wire

@testable import DWNNode

/// What gave way to something else, was deleted or taken away stays so, in whatever order messages come, and whoever sends them again.
@Suite(.timeLimit(.minutes(10)))
struct ComebackTests {
  private let tenancy: TestTenancy
  private var alice: Person { tenancy.alice }
  private var bob: Person { tenancy.bob }
  private var carol: Person { tenancy.carol }
  private static let everything = RecordsFilter(protocolURI: TestTenancy.protocolURI)

  init() throws { tenancy = try TestTenancy() }

  private func install(_ structure: String) async throws {
    #expect(try await tenancy.install(structure).status.code == 202)
  }

  private func write(_ draft: RecordDraft, by author: Person? = nil, at time: WallTime? = nil) -> RecordsWrite {
    (author ?? alice).signer.recordsWrite(draft, at: time ?? tenancy.tick())
  }

  private func send(_ write: RecordsWrite, _ data: String? = "{}") async throws -> String {
    try await tenancy.status(write.signed, data: data.map { Array($0.utf8) })
  }

  private func shown() async throws -> [String] { try await tenancy.query(alice, Self.everything) }

  // MARK: Squash

  @Test("what a squash replaced stays away, though the definition of its time knew of no squash")
  func squashInvented() async throws {
    try await install(#"{"box": {}}"#)
    let old = write(tenancy.draft("box", data: #""old""#))
    #expect(try await send(old, #""old""#) == "202")
    try await install(#"{"box": {"$squash": true}}"#)
    #expect(try await send(write(tenancy.draft("box", squash: true))) == "202")
    #expect(try await shown() == ["{}"])
    #expect(try await send(old, #""old""#) == "409 ProtocolAuthorizationSquashBackstop")
    #expect(try await shown() == ["{}"])
  }

  @Test("what was deleted by a clock that is behind stays deleted after a squash of the time between")
  func squashBetween() async throws {
    try await install(#"{"role": {"$role": true, "$squash": true}}"#)
    let (early, between) = (tenancy.tick(), tenancy.tick())
    let role = write(tenancy.draft("role", to: bob))
    #expect(try await send(role) == "202")
    #expect(try await tenancy.status(alice.signer.recordsDelete(role.recordID, prune: false, at: early)) == "202")
    #expect(try await send(write(tenancy.draft("role", to: carol, squash: true), at: between)) == "202")
    #expect(try await send(role) == "409")
    #expect(try await shown() == ["{}"])
  }

  @Test("a first write that squashes does so with its data, which may come with a later write of its record")
  func squashInTwoSteps() async throws {
    try await install(#"{"box": {"$squash": true}}"#)
    #expect(try await send(write(tenancy.draft("box", data: "1")), "1") == "202")
    let squash = write(tenancy.draft("box", squash: true))
    #expect(try await send(squash, nil) == "204")
    #expect(try await shown() == ["1"])
    #expect(try await send(write(tenancy.draft("box", data: "3")), "3") == "202")
    #expect(try await send(write(RecordDraft(updating: squash, data: Array("2".utf8))), "2") == "202")
    #expect(try await shown() == ["2", "3"])
  }

  // MARK: Room for so many

  @Test("what made room for younger records stays away, also when these are deleted")
  func purged() async throws {
    try await install(#"{"role": {"$role": true, "$recordLimit": {"max": 1, "strategy": "purgeOldest"}}}"#)
    let early = tenancy.tick()
    let (first, second) = (write(tenancy.draft("role", to: bob)), write(tenancy.draft("role", to: carol)))
    for role in [first, second] { #expect(try await send(role) == "202") }
    let backstop = "409 ProtocolAuthorizationRecordLimitBackstop"
    #expect(try await send(write(tenancy.draft("role", to: bob), at: early)) == backstop)
    let delete = alice.signer.recordsDelete(second.recordID, prune: false, at: tenancy.tick())
    #expect(try await tenancy.status(delete) == "202")
    #expect(try await send(first) == backstop)
    #expect(try await send(write(tenancy.draft("role", to: bob))) == "202")
  }

  @Test("what nobody is shown, or was deleted by then, takes no room from what comes")
  func roomForHonest() async throws {
    try await install(#"{"box": {"$recordLimit": {"max": 1, "strategy": "purgeOldest"}}}"#)
    let (now, later) = (tenancy.tick(), tenancy.tick() + .seconds(7200))
    #expect(try await send(write(tenancy.draft("box"), at: later), nil) == "204")
    let ahead = write(tenancy.draft("box", data: "1"), at: later)
    #expect(try await send(ahead, "1") == "202")
    #expect(try await send(write(tenancy.draft("box"))) == "409 ProtocolAuthorizationRecordLimitBackstop")
    #expect(
      try await tenancy.status(alice.signer.recordsDelete(ahead.recordID, prune: false, at: tenancy.tick())) == "202")
    #expect(try await send(write(tenancy.draft("box"), at: now)) == "409 ProtocolAuthorizationRecordLimitBackstop")
    #expect(try await send(write(tenancy.draft("box"))) == "202")
  }

  @Test("room is made by the write that brings the data, and a role that is held already is not given by it")
  func roomInTwoSteps() async throws {
    try await install(
      #"{"box": {"$recordLimit": {"max": 1, "strategy": "purgeOldest"}}, "role": {"$role": true}}"#)
    let boxes = [write(tenancy.draft("box")), write(tenancy.draft("box"))]
    for box in boxes { #expect(try await send(box, nil) == "204") }
    for box in boxes { #expect(try await send(write(RecordDraft(updating: box, data: Array("1".utf8))), "1") == "202") }
    #expect(try await shown() == ["1"])
    let roles = [write(tenancy.draft("role", to: bob)), write(tenancy.draft("role", to: bob))]
    #expect(try await send(roles[0], nil) == "204")
    #expect(try await send(roles[1]) == "202")
    let update = write(RecordDraft(updating: roles[0], data: Array("1".utf8)))
    #expect(try await send(update, "1") == "400 ProtocolAuthorizationDuplicateRoleRecipient")
  }

  @Test("a role's record for which there is no room, and that nobody is shown, gives no role")
  func roleWithoutRoom() async throws {
    try await install(
      #"""
      {"role": {"$role": true, "$recordLimit": {"max": 1, "strategy": "reject"}},
       "note": {"$actions": [{"role": "role", "can": ["create"]}]}}
      """#)
    let role = try await tenancy.write(alice, "role", to: bob)
    _ = try await tenancy.write(alice, "role", to: carol)
    _ = try await tenancy.write(bob, "note", role: "role")
    let refused = "401 ProtocolAuthorizationMatchingRoleRecordNotFound"
    #expect(try await tenancy.attempt(carol, tenancy.draft("note", role: "role")) == refused)
    let delete = alice.signer.recordsDelete(role.recordID, prune: false, at: tenancy.tick())
    #expect(try await tenancy.status(delete) == "202")
    _ = try await tenancy.write(carol, "note", role: "role")
  }

  // MARK: First writes

  @Test("a record has one first write, however often its author signs the same one anew")
  func respelled() async throws {
    try await install(#"{"box": {"$actions": [{"who": "anyone", "can": ["create"]}], "$immutable": true}}"#)
    let record = write(tenancy.draft("box"), by: bob)
    #expect(try await send(record) == "202")
    for number in 1...10 {
      var json = record.message.json
      let signature = try GeneralJWS(json["authorization"]?["signature"] ?? .null)
      let payload = signature.payloadBytes.dropLast() + Array(repeating: 0x20, count: number) + [0x7d]
      json["authorization"] = ["signature": GeneralJWS.sign(Array(payload), with: bob.signer.identity).json]
      #expect(try await tenancy.status(.object(json), data: Array("{}".utf8)) == "409")
    }
    #expect(try await tenancy.node.feed(of: alice, tenancy).count == 2)
  }

  // MARK: Grants

  @Test("a delegate's grant counts as it is now, though an earlier form of it is carried along")
  func changedDelegation() async throws {
    try await install(#"{"box": {}}"#)
    let grant = tenancy.makeGrant(.records("Write"), to: bob, delegated: true)
    #expect(try await tenancy.store(grant) == "202")
    func attempt() async throws -> String {
      let draft = tenancy.draft("box")
      let json = try tenancy.delegating(write(draft).signed, to: bob, by: grant)
      return try await tenancy.status(json, data: draft.data)
    }
    #expect(try await attempt() == "202")
    let form = tenancy.makeGrant(.records("Write"), to: bob, delegated: true, expires: tenancy.tick()).data
    #expect(
      try await send(write(RecordDraft(updating: grant.write, data: form)), String(decoding: form, as: UTF8.self))
        == "202")
    #expect(try await attempt() == "401 GrantAuthorizationGrantExpired")
  }

  @Test("what somebody installs for a protocol that every node has hides nothing")
  func builtIn() async throws {
    let structure = #"{"grant": {"$recordLimit": {"max": 1, "strategy": "reject"}}}"#
    #expect(try await tenancy.install(structure, uri: PermissionsProtocol.uri).status.code == 202)
    for person in [bob, carol] { _ = try await tenancy.grant(.records("Write"), to: person) }
    let filter = RecordsFilter(protocolURI: PermissionsProtocol.uri, path: PermissionsProtocol.grant)
    #expect(try await tenancy.query(alice, filter).count == 2)
  }

  @Test("a feed of one protocol has every message of a permission record about it, also those that others replaced")
  func permissionFeed() async throws {
    try await install(#"{"box": {}}"#)
    let grant = try await tenancy.grant(.records("Write"), to: bob)
    let form = tenancy.makeGrant(.records("Delete"), to: bob).data
    #expect(
      try await send(write(RecordDraft(updating: grant.write, data: form)), String(decoding: form, as: UTF8.self))
        == "202")
    let all = try await tenancy.node.feed(of: alice, tenancy)
    #expect(all.count == 3)
    #expect(try await tenancy.node.feed(of: alice, tenancy, in: TestTenancy.protocolURI) == all)
  }

  @Test("what a grant let in goes when the grant is revoked, unless the tenant wrote upon or below it")
  func revoked() async throws {
    try await install(#"{"box": {"item": {}}}"#)
    let grant = try await tenancy.grant(.records("Write"), to: bob)
    let revocation = tenancy.revocation(of: grant)
    func late(_ path: ProtocolPath, below parent: RecordsWrite? = nil, data: String) async throws -> RecordsWrite {
      var draft = tenancy.draft(path, below: parent, data: data)
      draft.permissionGrantID = grant.id
      let late = write(draft, by: bob)
      #expect(try await send(late, data) == "202")
      return late
    }
    let answered = try await late("box", data: "1")
    _ = try await tenancy.write(alice, "box/item", below: answered, data: "2")
    _ = try await late("box/item", below: answered, data: "3")
    let alone = try await late("box", data: "4")
    _ = try await late("box/item", below: alone, data: "5")
    #expect(try await shown().count == 5)
    #expect(try await tenancy.store(revocation) == "202")
    #expect(try await Set(shown()) == ["1", "2"])
  }

  @Test("what the tenant made for another one's node, by a role or a grant there, says nothing at the tenant's own")
  func playedBack() async throws {
    try await install(
      #"""
      {"admin": {"$role": true}, "member": {"$role": true, "$actions": [{"role": "admin", "can": ["create", "delete"]}]}}
      """#)
    let secret = try await tenancy.write(alice, "member", to: bob)
    var draft = tenancy.draft("member", to: carol, role: "admin")
    #expect(try await tenancy.attempt(alice, draft) == "401 ProtocolAuthorizationMatchingRoleRecordNotFound")
    let grant = try await tenancy.grant(.records("Write"), to: bob)
    draft = tenancy.draft("member", to: carol)
    draft.permissionGrantID = grant.id
    #expect(try await tenancy.attempt(alice, draft).hasPrefix("401 GrantAuthorization"))
    let delete = alice.signer.recordsDelete(secret.recordID, prune: false, at: tenancy.tick(), role: "admin")
    #expect(try await tenancy.status(delete).hasPrefix("401"))
    let definition = try tenancy.definition(#"{"open": {}}"#).object ?? [:]
    let configure = ProtocolsConfigure(definition, permissionGrantID: grant.id)
    #expect(try await tenancy.status(tenancy.request(alice, .protocolsConfigure(configure))).hasPrefix("401"))
    let filter = RecordsFilter(recordID: secret.recordID)
    let read = alice.signer.recordsRead(filter, at: tenancy.tick(), role: "admin")
    #expect(try await tenancy.status(read).hasPrefix("401"))
    let byPath = RecordsFilter(protocolURI: TestTenancy.protocolURI, path: "member")
    let query = alice.signer.recordsQuery(byPath, at: tenancy.tick(), role: "admin")
    #expect(try await tenancy.status(query).hasPrefix("401"))
    let feed = MessagesQuery([], permissionGrantIDs: [grant.id])
    #expect(try await tenancy.status(tenancy.request(alice, .messagesQuery(feed))).hasPrefix("401"))
    #expect(try await shown() == ["{}"])
    // Who holds the role here made it for this node as well.
    _ = try await tenancy.write(alice, "admin", to: alice)
    #expect(try await tenancy.attempt(alice, tenancy.draft("member", to: carol, role: "admin")) == "202")
    #expect(try await tenancy.status(alice.signer.recordsQuery(byPath, at: tenancy.tick(), role: "admin")) == "200")
    #expect(try await tenancy.status(alice.signer.recordsRead(filter, at: tenancy.tick(), role: "admin")) == "200")
  }

  // MARK: Texts that look alike

  @Test("filters that only look alike are two, for who listens and for who asks")
  func lookalikes() throws {
    var index = SubscriptionIndex<Int>()
    func filter(_ name: String) throws -> RecordsFilter {
      try RecordsFilter(["tags": .object([name: "x"])])
    }
    index.insert(1, .records(try filter("\u{212a}ind")))
    index.insert(2, .records(try filter("Kind")))
    let record = write(tenancy.draft("box", tags: ["Kind": "x"]))
    let arrival = try ArrivingWrite(record, json: record.message.value.text, data: nil, limits: NodeLimits())
    let found = try index.matches(arrival.stored(isLatest: true)).flatMap { index.members(of: $0) }
    #expect(found == [2])
    #expect(throws: DWNError.self) { try RecordsFilter(["tags": ["\u{212a}ind": "x", "Kind": "y"]]) }
  }

  @Test("a tag that only looks like one that the protocol has is none of it")
  func undefinedTag() async throws {
    try await install(#"{"box": {"$tags": {"Kind": {"type": "string"}}}}"#)
    #expect(try await tenancy.attempt(alice, tenancy.draft("box", tags: ["Kind": "x"])) == "202")
    let refused = "400 ProtocolAuthorizationTagsInvalidSchema"
    #expect(try await tenancy.attempt(alice, tenancy.draft("box", tags: ["\u{212a}ind": "x"])) == refused)
  }
}

extension DWNNode {
  /// The CIDs of a tenant's messages, in the order of its feed.
  fileprivate func feed(of person: Person, _ tenancy: TestTenancy, in uri: String? = nil) async throws -> [String] {
    let filters = uri.map { [MessagesFilter(protocolURI: $0)] } ?? []
    let query = tenancy.request(person, .messagesQuery(MessagesQuery(filters, cidsOnly: true)))
    let reply = try await tenancy.send(query)
    guard reply.status.code == 200 else { throw TestTenancy.Unexpected(text: "\(reply.status)") }
    return (reply.members["entries"]?.array ?? []).map { $0["messageCid"]?.string ?? $0.text }
  }
}
