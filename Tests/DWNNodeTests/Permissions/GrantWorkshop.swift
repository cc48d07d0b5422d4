import DWN
import Identity
import Wire

@testable import DWNNode

/// A grant with its data: as a record, and as other messages carry it.
struct HeldGrant {
  let write: RecordsWrite
  let data: [UInt8]

  var id: RecordID { write.recordID }

  var carried: JSONValue {
    var json = write.message.json
    json["encodedData"] = .string(Base64.encode(data))
    return .object(json)
  }
}

extension PermissionScope {
  static let uri = TestTenancy.protocolURI
  static func records(_ method: String, at path: ProtocolPath? = nil, in context: ContextID? = nil) -> PermissionScope {
    PermissionScope(.records, method, protocolURI: uri, contextID: context, path: path)
  }
}

extension TestTenancy {
  static let farAway = WallTime(timestamp: "2100-01-01T00:00:00.000000Z")!

  func permission(
    _ path: ProtocolPath, by author: Person, to recipient: Person? = nil, below parent: RecordsWrite? = nil,
    protocolTag: String? = TestTenancy.protocolURI, data: JSONValue, at time: WallTime? = nil
  ) -> HeldGrant {
    let draft = RecordDraft(
      protocolURI: PermissionsProtocol.uri, path: path, parent: parent?.contextID, recipient: recipient?.did,
      tags: protocolTag.map { ["protocol": .string($0)] }, data: data.encoded)
    return HeldGrant(write: author.signer.recordsWrite(draft, at: time ?? tick()), data: draft.data)
  }

  func makeGrant(
    _ scope: PermissionScope, to grantee: Person, from grantor: Person? = nil, delegated: Bool = false,
    publication: PermissionGrant.Publication? = nil, expires: WallTime = TestTenancy.farAway, at time: WallTime? = nil
  ) -> HeldGrant {
    permission(
      PermissionsProtocol.grant, by: grantor ?? alice, to: grantee, protocolTag: scope.protocolURI,
      data: PermissionContent(scope, isDelegated: delegated, publication: publication, dateExpires: expires).json,
      at: time)
  }

  /// A grant of the tenant, stored at its node.
  func grant(
    _ scope: PermissionScope, to grantee: Person, publication: PermissionGrant.Publication? = nil,
    expires: WallTime = TestTenancy.farAway
  ) async throws -> HeldGrant {
    let grant = makeGrant(scope, to: grantee, publication: publication, expires: expires)
    guard try await status(grant.write.signed, data: grant.data) == "202" else { throw Unexpected(text: "no grant") }
    return grant
  }

  func revocation(of grant: HeldGrant, at time: WallTime? = nil) -> HeldGrant {
    permission(
      PermissionsProtocol.revocation, by: alice, below: grant.write,
      protocolTag: grant.write.tags?["protocol"]?.string, data: [:], at: time)
  }

  func store(_ held: HeldGrant) async throws -> String { try await status(held.write.signed, data: held.data) }

  /// A message that its author signed, as a delegate signs it instead.
  func delegating(_ message: SignedMessage, to delegate: Person, by grant: HeldGrant) throws -> JSONValue {
    var json = message.message.json
    let signature = try GeneralJWS(json["authorization"]?["signature"] ?? .null)
    var payload = try JSONValue(parsing: signature.payloadBytes).object ?? [:]
    payload["delegatedGrantId"] = .string(grant.write.cid.text)
    let signed = GeneralJWS.sign(JSONValue.object(payload).encoded, with: delegate.signer.identity)
    json["authorization"] = ["signature": signed.json, "authorDelegatedGrant": grant.carried]
    return .object(json)
  }

  /// A record as an owner takes it in; with a grant, a delegate signs in the owner's name.
  func owning(_ message: SignedMessage, by signer: Person, grant: HeldGrant? = nil) -> JSONValue {
    var payload: JSONObject = ["descriptorCid": .string(message.message.descriptorCID.text)]
    payload["delegatedGrantId"] = grant.map { .string($0.write.cid.text) }
    var json = message.message.json
    var authorization = json["authorization"]?.object ?? [:]
    authorization["ownerSignature"] =
      GeneralJWS.sign(JSONValue.object(payload).encoded, with: signer.signer.identity).json
    authorization["ownerDelegatedGrant"] = grant?.carried
    json["authorization"] = .object(authorization)
    return .object(json)
  }

  func reply(_ json: JSONValue, data: [UInt8]? = nil) async throws -> Reply {
    try await node.process(tenant: alice.did, message: json, data: data)
  }

  func status(_ json: JSONValue, data: [UInt8]? = nil) async throws -> String {
    Self.name(try await reply(json, data: data).status)
  }

  /// The code, and for a refusal its name.
  static func name(_ status: Reply.Status) -> String {
    let name = status.detail.split(separator: ":").first.map(String.init) ?? ""
    return status.isSuccess || name == status.detail ? "\(status.code)" : "\(status.code) \(name)"
  }

  /// A signed request of any kind but a write.
  func request(_ person: Person, _ body: MessageBody, at time: WallTime? = nil) -> SignedMessage {
    person.signer.message(body, at: time ?? tick())
  }
}
