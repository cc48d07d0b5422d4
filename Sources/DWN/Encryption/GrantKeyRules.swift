public import Identity
import Wire

extension GrantKey {
  /// What the admission of a grant key still depends on, after everything that the message alone can break was checked: the grant,
  /// which must be active, by the author for the recipient, for reading or writing the protocol without a context, and wide enough
  /// for the path.
  public struct Claim: Hashable, Sendable {
    public let grantID: RecordID
    public let protocolURI: String
    public let path: ProtocolPath?
    public let author: DID
    public let recipient: DID
  }

  /// The rules for a grant key's record that need nothing but the message and its data. Throws status 400.
  public static func check(_ write: RecordsWrite, data: [UInt8]) throws(DWNError) -> Claim {
    guard [recordPath, wrappedPath].contains(write.path), write.schema == schema,
      write.dataFormat == "application/json", write.isInitial, write.parentID == nil, !write.published
    else { throw .grantKey("SchemaUnexpectedRecord", "a grant key is written once, unpublished, at \(recordPath)") }
    guard write.encryption != nil || isWrapping(data) else {
      throw .grantKey("EncryptedDeliveryMissingEncryption", "a grant key is encrypted, or in a wrapping")
    }
    let tags = write.tags ?? JSONObject()
    for name in ["grantId", "protocol", "keyId"] where tags[name]?.string == nil {
      throw .grantKey("GrantKeyMissingRequiredTag", "the tag \"\(name)\" is missing, or no text")
    }
    for name in tags.names where !["grantId", "protocol", "keyId", "protocolPath"].contains(name) {
      throw .grantKey("SchemaUnexpectedRecord", "a grant key has no tag \"\(name)\"")
    }
    let path = tags["protocolPath"]?.string.flatMap { ProtocolPath($0) }
    guard let grantID = tags["grantId"]?.string.flatMap({ RecordID($0) }), let uri = tags["protocol"]?.string,
      tags.contains("protocolPath") == (path != nil)
    else { throw .grantKey("GrantKeyMissingRequiredTag", "the tags of a grant key name no grant, or no path") }
    guard let recipient = write.recipient else {
      throw .grantKey("GrantKeyRecipientMismatch", "a grant key has a recipient")
    }
    return Claim(grantID: grantID, protocolURI: uri, path: path, author: write.author, recipient: recipient)
  }
}

extension GrantKey.Claim {
  /// Whether the key goes with the grant: from whoever gave it, to its holder, for no more than it covers. Throws status 400.
  public func check(_ grant: PermissionGrant) throws(DWNError) {
    guard grant.grantor == author else {
      throw .grantKey("GrantKeyAuthorMismatch", "the key comes from somebody else than the grant \(grantID)")
    }
    guard grant.grantee == recipient else {
      throw .grantKey("GrantKeyRecipientMismatch", "the key goes to somebody else than the grant \(grantID)")
    }
    let scope = grant.scope
    guard scope.interface == .records, ["Read", "Write"].contains(scope.method), scope.contextID == nil,
      scope.protocolURI == protocolURI, covers(scope.path)
    else {
      throw .grantKey("GrantKeyGrantScopeMismatch", "the key opens more than the grant \(grantID) is for")
    }
  }

  private func covers(_ scoped: ProtocolPath?) -> Bool {
    guard let scoped else { return true }
    return path.map { $0 == scoped || $0.text.hasPrefix(scoped.text + "/") } ?? false
  }
}

extension DWNError {
  fileprivate static func grantKey(_ code: String, _ text: String) -> DWNError {
    DWNError(400, "EncryptionProtocolValidate" + code, text)
  }
}
