public import Identity
public import Wire

/// A grant that a message carries with it: the complete record by which somebody lets the signer act in their name.
///
/// The record is consistent in itself and with the message that carries it; its signature is verified with that of the message.
/// Whether it covers what the message does is `PermissionGrant`'s to say.
public struct DelegatedGrant: Hashable, Sendable {
  public let grant: PermissionGrant
  /// What a signature payload calls `delegatedGrantId`.
  public let messageCID: CID
  /// Of the form that is carried: a grant may be changed.
  public let timestamp: WallTime
  let jws: GeneralJWS

  /// Who gave it, and in whose name the signer acts.
  public var grantor: DID { grant.grantor }

  /// Throws status 400.
  init(_ json: JSONValue) throws(DWNError) {
    guard let data = json["encodedData"]?.string.flatMap({ Base64.decode($0) }) else {
      throw .schema("a grant that a message carries has its data as encodedData")
    }
    let message = try Message(json)
    timestamp = message.timestamp
    guard message.kind == .recordsWrite else { throw .schema("a grant that a message carries is a RecordsWrite") }
    let claimed = try ClaimedMessage(message)
    messageCID = message.cid
    jws = claimed.jws
    grant = try PermissionGrant(RecordsWrite(SignedMessage(believing: claimed)), data: data)
  }

  /// The rules of dwn-messages 4.4 for one signature and the grant beside it; `party` is `Author` or `Owner`.
  static func check(
    _ grant: DelegatedGrant?, named id: String?, signer: DID, party: String
  ) throws(DWNError) {
    let stem = "Records\(party)DelegatedGrant"
    guard (grant != nil) == (id != nil) else {
      throw DWNError(
        400, stem + "AndIdExistenceMismatch",
        "a carried grant and delegatedGrantId in what its holder signed go together")
    }
    guard let grant else { return }
    guard grant.grant.isDelegated else {
      throw DWNError(400, stem + "NotADelegatedGrant", "the carried grant does not let its holder act for the grantor")
    }
    guard grant.grant.grantee == signer else {
      throw DWNError(
        400, stem + "GrantedToAndOwnerSignatureMismatch", "the carried grant was given to somebody else than the signer"
      )
    }
    guard grant.messageCID.text == id else {
      throw DWNError(400, stem + "CidMismatch", "delegatedGrantId is not the CID of the carried grant")
    }
  }
}
