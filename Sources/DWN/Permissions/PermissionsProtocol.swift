import Identity
public import Wire

/// The protocol of requests, grants and revocations. It is built into every node and never installed (dwn-messages 9).
public enum PermissionsProtocol {
  public static let uri = "https://identity.foundation/dwn/permissions"
  public static let request: ProtocolPath = "request"
  public static let grant: ProtocolPath = "grant"
  public static let revocation: ProtocolPath = "grant/revocation"
  /// Bytes of data.
  public static let largestData = 10_000

  /// Anyone may ask; nobody but the tenant can grant or revoke.
  public static let definitionJSON: JSONValue = [
    "protocol": .string(uri), "published": true,
    "types": [
      "request": ["dataFormats": ["application/json"]], "grant": ["dataFormats": ["application/json"]],
      "revocation": ["dataFormats": ["application/json"]],
    ],
    "structure": [
      "request": ["$size": ["max": 10_000], "$actions": [["who": "anyone", "can": ["create"]]]],
      "grant": [
        "$size": ["max": 10_000], "$actions": [["who": "recipient", "of": "grant", "can": ["read"]]],
        "revocation": ["$size": ["max": 10_000], "$actions": [["who": "anyone", "can": ["read"]]]],
      ],
    ],
  ]

  /// Throws only if `definitionJSON` contradicts itself.
  public static func definition() throws(DWNError) -> ProtocolDefinition { try ProtocolDefinition(definitionJSON) }

  /// What a revocation must fit.
  public struct RevokedGrant: Hashable, Sendable {
    public var id: RecordID
    public var protocolURI: String?

    public init(id: RecordID, protocolURI: String?) {
      self.id = id
      self.protocolURI = protocolURI
    }
  }

  /// Whether a record of this protocol is what its path promises (dwn-server 8.1). `grant` is the one that a revocation ends.
  /// Throws status 400.
  public static func check(_ write: RecordsWrite, data: [UInt8], ending grant: RevokedGrant?) throws(DWNError) {
    guard write.encryption == nil, write.dataFormat == "application/json" else { throw unexpected(write) }
    switch write.path {
    case request: try PermissionContent.checkRequest(data).checkTag(of: write)
    case Self.grant: _ = try PermissionGrant(write, data: data)
    case revocation:
      try PermissionContent.checkRevocation(data)
      guard let grant, write.parentID == grant.id else { throw unexpected(write) }
      guard write.tags?["protocol"]?.string == grant.protocolURI else {
        throw DWNError(
          400, "PermissionsProtocolValidateRevocationProtocolTagMismatch",
          "a revocation has the protocol tag of the grant that it ends")
      }
    default: throw unexpected(write)
    }
  }

  private static func unexpected(_ write: RecordsWrite) -> DWNError {
    DWNError(
      400, "PermissionsProtocolValidateSchemaUnexpectedRecord",
      "no record of this form is at \(write.path) of the permissions protocol")
  }
}

extension PermissionScope {
  /// A record that concerns one protocol says so in a tag, by which it is found.
  func checkTag(of write: RecordsWrite) throws(DWNError) {
    guard let protocolURI else { return }
    guard let tag = write.tags?["protocol"] else {
      throw DWNError(
        400, "PermissionsProtocolValidateScopeMissingProtocolTag", "the record has no tag for the scope's protocol")
    }
    guard tag.string == protocolURI else {
      throw DWNError(
        400, "PermissionsProtocolValidateScopeProtocolMismatch", "the protocol tag is not the scope's protocol")
    }
  }
}
