public import Wire

/// What names an audience: the holders of a role of a protocol in one context. Its key is in an `$encryption/audience` record, and
/// comes to each holder in an `$encryption/delivery` record.
public struct AudienceName: Hashable, Sendable, CustomStringConvertible {
  public let protocolURI: String
  public let rolePath: ProtocolPath
  /// The context of the role record's parent; `nil` for a role at the root.
  public let contextID: ContextID?

  /// `nil` unless the context has a segment for each parent of the role, and none for a role at the root. It has more of them where
  /// the role stands below a record of another protocol that is no root there.
  public init?(protocolURI: String, rolePath: ProtocolPath, contextID: ContextID?) {
    let parents = rolePath.depth - 1
    guard !rolePath.isControl, parents == 0 ? contextID == nil : contextID.map({ $0.depth >= parents }) == true else {
      return nil
    }
    self.protocolURI = protocolURI
    self.rolePath = rolePath
    self.contextID = contextID
  }

  /// The audience of a role that reads a record with this context, or with this parent's context. `depth` is how many segments the
  /// contexts of the role's records have: unless it is told, as many as its path has levels. `nil` where the record does not stand
  /// deep enough for the role to have a context.
  public init?(protocolURI: String, role: ProtocolPath, reading context: ContextID?, depth: Int? = nil) {
    let parents = (depth ?? role.depth) - 1
    self.init(protocolURI: protocolURI, rolePath: role, contextID: parents > 0 ? context?.prefix(parents) : nil)
  }

  /// `contextId` of tags and payloads: empty for a role at the root.
  var contextText: String { contextID?.text ?? "" }

  /// The four members that tags and payloads begin with.
  func members(keyID: String) -> JSONObject {
    [
      "protocol": .string(protocolURI), "rolePath": .string(rolePath.text), "contextId": .string(contextText),
      "keyId": .string(keyID),
    ]
  }

  /// What the private key of this audience is wrapped as, for the owner.
  func seal(keyID: String) -> WrappedKey.Purpose {
    .seal(protocolURI: protocolURI, rolePath: rolePath, contextID: contextID, audienceKeyID: keyID)
  }

  /// Reads `protocol`, `rolePath` and `contextId`. `nil` unless they name an audience.
  public init?(_ members: JSONObject) {
    guard let uri = members["protocol"]?.string, let role = members["rolePath"]?.string.flatMap({ ProtocolPath($0) }),
      let text = members["contextId"]?.string
    else { return nil }
    let context = text.isEmpty ? nil : ContextID(text)
    guard text.isEmpty || context != nil else { return nil }
    self.init(protocolURI: uri, rolePath: role, contextID: context)
  }

  public var description: String { contextID.map { "\(rolePath) in \($0)" } ?? rolePath.text }
}

/// The two paths that every protocol has for the keys of its audiences, beside its own structure.
public enum EncryptionControl {
  public static let audience: ProtocolPath = "$encryption/audience"
  public static let delivery: ProtocolPath = "$encryption/delivery"

  public static let audienceSchema = "https://identity.foundation/dwn/json-schemas/encryption/audience.json"
  public static let deliverySchema = "https://identity.foundation/dwn/json-schemas/encryption/delivery.json"

  /// Most bytes of data that a control record may have.
  public static let maximumDataSize = 30_000

  /// The audience of which a record at one of these paths speaks, as its tags name it. `nil` for another record.
  public static func audience(of write: RecordsWrite) -> (name: AudienceName, keyID: String)? {
    guard write.path.isControl, let tags = write.tags, let name = AudienceName(tags),
      let keyID = tags["keyId"]?.string
    else { return nil }
    return (name, keyID)
  }

  /// Asks for the audience records of exactly one audience; `keyID`: for that one of them.
  public static func audiences(_ name: AudienceName, keyID: String? = nil) -> RecordsFilter {
    var tags: [String: RecordsFilter.TagFilter] = [
      "protocol": .equals(.string(name.protocolURI)), "rolePath": .equals(.string(name.rolePath.text)),
      "contextId": .equals(.string(name.contextText)),
    ]
    if let keyID { tags["keyId"] = .equals(.string(keyID)) }
    return RecordsFilter(protocolURI: name.protocolURI, path: audience, tags: tags)
  }
}
