public import Cryptography
public import Wire

/// A protocol as a tenant installs it: types of records, their places in a tree, and who may do what there.
///
/// It exists only if it is valid: every rule of the DWN's configure step that the definition alone can break has been checked.
public struct ProtocolDefinition: Hashable, Sendable {
  /// What all records of a type name have in common, wherever they stand.
  public struct RecordType: Hashable, Sendable {
    public let schema: String?
    /// Media types; `nil` allows any.
    public let dataFormats: [String]?
    public let encryptionRequired: Bool
  }

  public static let maximumNesting = 10

  /// As it was received.
  public let json: JSONValue
  public let uri: String
  /// Whether strangers may ask for the definition.
  public let isPublished: Bool
  public let types: [String: RecordType]
  /// The other protocols that this one is composed of, by the alias that it has for each.
  public let uses: [String: String]
  /// The roots of the tree by type name.
  public let structure: [String: RuleSet]
  /// The protocol's own key in networks of the v1 envelope.
  public let keyAgreement: X25519PublicKey?

  /// Throws status 400 for a definition that is malformed or contradicts itself.
  ///
  /// `isStrict` refuses, as the newest upstream does, what older definitions have: the directive of the JWE envelope, and roles that
  /// anyone gives (dwn-server 15).
  public init(_ json: JSONValue, isStrict: Bool = false) throws(DWNError) {
    var reader = ProtocolDefinitionReader(isStrict: isStrict)
    let parts = try reader.read(json)
    self.json = json
    self.uri = parts.uri
    self.isPublished = parts.isPublished
    self.types = parts.types
    self.uses = parts.uses
    self.structure = parts.structure
    self.keyAgreement = parts.keyAgreement
    try ProtocolDefinitionRules(definition: self, isStrict: isStrict).check()
  }

  /// `nil` where the structure has no such path.
  public func ruleSet(at path: ProtocolPath) -> RuleSet? {
    guard !path.isControl else { return nil }
    let segments = path.segments
    var found = structure[segments[0]]
    for name in segments.dropFirst() { found = found?.children[name] }
    return found
  }

  /// The protocol and the path there that a reference in this definition means; a local path that stands for a record of another
  /// protocol means that one. `nil` for an unknown alias.
  public func target(of reference: PathReference) -> (protocolURI: String, path: ProtocolPath)? {
    if let alias = reference.alias { return uses[alias].map { ($0, reference.path) } }
    if let other = ruleSet(at: reference.path)?.reference { return target(of: other) }
    return (uri, reference.path)
  }

  /// The place in another protocol below whose records those at a path stand; `nil` where the path begins with a type of this one.
  public func base(of path: ProtocolPath) -> (protocolURI: String, path: ProtocolPath)? {
    guard !path.isControl else { return nil }
    return structure[path.segments[0]]?.reference.flatMap { target(of: $0) }
  }

  /// Every rule set of the tree, parents first and siblings by name.
  public var ruleSets: [RuleSet] { structure.sorted { $0.key < $1.key }.flatMap { $0.value.subtree } }

  /// The definition of the message that installs it. Throws status 400 if the message is no ProtocolsConfigure.
  public init(configure: SignedMessage) throws(DWNError) {
    guard configure.message.kind == .protocolsConfigure, let definition = configure.message.descriptor["definition"]
    else {
      throw .schema("not a ProtocolsConfigure")
    }
    try self.init(definition)
  }
}
