public import Identity
public import Wire

/// A grant: somebody lets somebody else do something, for a time.
public struct PermissionGrant: Hashable, Sendable {
  /// Whether what is written by the grant must, or must not, be published.
  public enum Publication: String, Hashable, Sendable {
    case required = "Required"
    case prohibited = "Prohibited"
  }

  /// The record id: what messages that invoke the grant name.
  public let id: RecordID
  public let grantor: DID
  public let grantee: DID
  public let dateGranted: WallTime
  /// Exclusive.
  public let dateExpires: WallTime
  public let scope: PermissionScope
  /// Whether the holder may act in the grantor's name, and not only by the grantor's leave.
  public let isDelegated: Bool
  public let publication: Publication?
  public let requestID: String?
  public let text: String?

  /// Reads the record of a grant. Throws status 400.
  public init(_ write: RecordsWrite, data: [UInt8]) throws(DWNError) {
    guard write.protocolURI == PermissionsProtocol.uri, write.path == PermissionsProtocol.grant,
      let recipient = write.recipient, write.matches(data: data)
    else {
      throw DWNError(
        400, "PermissionsProtocolValidateSchemaUnexpectedRecord", "no record of a grant with a recipient and its data")
    }
    let content = try PermissionContent(grant: data)
    try content.scope.checkTag(of: write)
    id = write.recordID
    grantor = write.author
    grantee = recipient
    dateGranted = write.dateCreated
    dateExpires = content.dateExpires
    scope = content.scope
    isDelegated = content.isDelegated
    publication = content.publication
    requestID = content.requestID
    text = content.text
  }
}
