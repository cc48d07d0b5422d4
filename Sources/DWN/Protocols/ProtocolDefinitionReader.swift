import Cryptography
import Identity
import Wire

/// Turns the JSON of a definition into types, and refuses every member that it does not know: a directive that is not enforced
/// must not look as if it were.
struct ProtocolDefinitionReader {
  struct Parts {
    var uri: String
    var isPublished: Bool
    var types: [String: ProtocolDefinition.RecordType]
    var uses: [String: String]
    var structure: [String: RuleSet]
    var keyAgreement: X25519PublicKey?
  }

  /// Rule sets in one definition; the mesh has sixteen.
  private static let maximumRuleSets = 500
  private static let maximumUses = 100
  private let isStrict: Bool
  private var ruleSetCount = 0
  private var uses: [String: String] = [:]

  init(isStrict: Bool) { self.isStrict = isStrict }

  mutating func read(_ json: JSONValue) throws(DWNError) -> Parts {
    guard let object = json.object, let uri = object["protocol"]?.string, let isPublished = object["published"]?.bool,
      let types = object["types"]?.object, let structure = object["structure"]?.object
    else { throw .schema("a definition has protocol, published, types and structure") }
    for name in object.names
    where !["protocol", "published", "types", "structure", "uses", "$keyAgreement"].contains(name) {
      throw .unknown("definition", name)
    }
    guard URI.isNormalized(uri) else {
      throw DWNError(
        400, "UrlProtocolNotNormalized", "the protocol's URI must be written \(URI.normalized(uri) ?? "as a URL")")
    }
    if let value = object["uses"] { uses = try aliases(value, uri: uri) }
    var parsedTypes: [String: ProtocolDefinition.RecordType] = [:]
    for (name, type) in types.members { parsedTypes[name] = try recordType(name, type) }
    var roots: [String: RuleSet] = [:]
    for (name, value) in structure.members {
      guard name != "$encryption" else { throw .reserved }
      guard !name.hasPrefix("$") else { throw .unknown("structure", name) }
      roots[name] = try ruleSet(at: [name], value, types: parsedTypes)
    }
    return Parts(
      uri: uri, isPublished: isPublished, types: parsedTypes, uses: uses, structure: roots,
      keyAgreement: try object["$keyAgreement"].map(agreementKey))
  }

  private func aliases(_ json: JSONValue, uri: String) throws(DWNError) -> [String: String] {
    guard let object = json.object, object.count <= Self.maximumUses else {
      throw .schema("definition.uses must be an object of at most \(Self.maximumUses) aliases")
    }
    var uses: [String: String] = [:]
    for (alias, value) in object.members {
      guard PathReference.isAlias(alias) else { throw .configure("InvalidUsesAlias", "\"\(alias)\" is no alias") }
      guard let other = value.string, URI.isNormalized(other) else {
        throw .configure("InvalidUsesProtocolUrl", "the protocol that \(alias) stands for is no normalized URL")
      }
      guard other != uri else {
        throw .configure("InvalidUsesSelfReference", "\(alias) stands for the protocol itself")
      }
      uses[alias] = other
    }
    return uses
  }

  /// A node that stands for a record of another protocol: it has children and nothing else.
  private mutating func reference(
    at segments: [String], _ object: JSONObject, to value: JSONValue,
    types: [String: ProtocolDefinition.RecordType]
  ) throws(DWNError) -> RuleSet {
    let text = segments.joined(separator: "/")
    guard segments.count == 1 else { throw .configure("InvalidRefNotAtRoot", "\(text) is no root, and has a $ref") }
    guard let path = ProtocolPath(text) else { throw .schema("\(text) is no protocol path: names are letters only") }
    guard let reference = value.string.flatMap({ PathReference($0) }), let alias = reference.alias, uses[alias] != nil
    else { throw .configure("InvalidRefAlias", "$ref at \(text) is no path of a protocol that is used") }
    var children: [String: RuleSet] = [:]
    for (name, value) in object.members where name != "$ref" {
      guard !name.hasPrefix("$") else {
        throw .configure("InvalidRefNodeHasDirectives", "\(text) has $ref, and \(name) beside it")
      }
      children[name] = try ruleSet(at: segments + [name], value, types: types)
    }
    return RuleSet(
      path: path, reference: reference, actions: nil, isRole: false, smallestSize: nil, largestSize: nil, tags: nil,
      recordLimit: nil, isImmutable: false, allowsSquash: false, encryption: nil, keyAgreement: nil,
      children: children)
  }

  private func recordType(_ name: String, _ json: JSONValue) throws(DWNError) -> ProtocolDefinition.RecordType {
    guard name != "$encryption" else { throw .reserved }
    guard let object = json.object else { throw .schema("types.\(name) must be an object") }
    for member in object.names where !["schema", "dataFormats", "encryptionRequired"].contains(member) {
      throw .unknown("types.\(name)", member)
    }
    let schema = object["schema"]?.string
    guard (schema != nil) == object.contains("schema") else { throw .schema("types.\(name).schema must be a URI") }
    if let schema, !URI.isNormalized(schema) {
      throw DWNError(
        400, "UrlSchemaNotNormalized",
        "the schema of type \(name) must be written \(URI.normalized(schema) ?? "as a URL")")
    }
    var formats: [String]?
    if let list = object["dataFormats"] {
      let texts = (list.array ?? []).compactMap(\.string)
      guard !texts.isEmpty, texts.count == list.array?.count else {
        throw .schema("types.\(name).dataFormats must be a list of media types")
      }
      formats = texts
    }
    let encryptionRequired = object["encryptionRequired"]?.bool
    guard (encryptionRequired != nil) == object.contains("encryptionRequired") else {
      throw .schema("types.\(name).encryptionRequired must be a boolean")
    }
    return ProtocolDefinition.RecordType(
      schema: schema, dataFormats: formats, encryptionRequired: encryptionRequired ?? false)
  }

  private mutating func ruleSet(
    at segments: [String], _ json: JSONValue, types: [String: ProtocolDefinition.RecordType]
  ) throws(DWNError) -> RuleSet {
    let text = segments.joined(separator: "/")
    guard segments.count <= ProtocolDefinition.maximumNesting else {
      throw .configure(
        "RecordNestingDepthExceeded", "\(text) lies deeper than \(ProtocolDefinition.maximumNesting) levels")
    }
    ruleSetCount += 1
    guard ruleSetCount <= Self.maximumRuleSets else {
      throw .schema("a definition has at most \(Self.maximumRuleSets) paths")
    }
    guard let object = json.object else { throw .schema("structure at \(text) must be an object") }
    if let value = object["$ref"] { return try reference(at: segments, object, to: value, types: types) }
    guard let name = segments.last, types[name] != nil else {
      throw .configure("InvalidRuleSetRecordType", "\(text) is in the structure, and its type is not among the types")
    }
    guard let path = ProtocolPath(text) else { throw .schema("\(text) is no protocol path: names are letters only") }

    let directives = RuleSetDirectives(path: path, object: object, aliases: Set(uses.keys))
    var children: [String: RuleSet] = [:]
    for (name, value) in object.members {
      if name.hasPrefix("$") {
        guard name != "$encryption" || value["rootKeyId"] != nil else { throw .reserved }
        guard RuleSetDirectives.known.contains(name), !isStrict || name != "$encryption" else {
          throw .unknown("the structure at \(text)", name)
        }
      } else {
        children[name] = try ruleSet(at: segments + [name], value, types: types)
      }
    }
    let size = try directives.size()
    return RuleSet(
      path: path, reference: nil, actions: try directives.actions(), isRole: try directives.flag("$role"),
      smallestSize: size.smallest, largestSize: size.largest, tags: try directives.tags(),
      recordLimit: try directives.recordLimit(), isImmutable: try directives.flag("$immutable"),
      allowsSquash: try directives.flag("$squash"), encryption: try directives.encryption(),
      keyAgreement: try directives.keyAgreement(), children: children)
  }

  private func agreementKey(_ json: JSONValue) throws(DWNError) -> X25519PublicKey {
    try RuleSetDirectives.agreementKey(json, at: "definition")
  }
}

extension DWNError {
  static func unknown(_ place: String, _ name: String) -> DWNError {
    DWNError(400, "SchemaValidatorAdditionalPropertyNotAllowed", "\(place) has an unknown member \"\(name)\"")
  }

  static let reserved = DWNError(
    400, "ProtocolsConfigureReservedEncryptionControlPath",
    "$encryption is reserved: no type and no path may have that name")

  static func configure(_ code: String, _ text: String) -> DWNError { DWNError(400, "ProtocolsConfigure" + code, text) }
}
