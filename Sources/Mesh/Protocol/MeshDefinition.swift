public import Cryptography
public import DWN
public import Identity
public import Wire

/// A protocol definition as an anchor has installed it: how its networks' records are encrypted, with which of the anchor's keys,
/// and how large they may be.
///
/// A definition is believed because the anchor signed it (`trust.md` section 2); this type says what follows from it.
public struct MeshDefinition: Hashable, Sendable {
  /// As it stands in the configure message.
  public let json: JSONValue
  public let protocolURI: String
  public let envelope: Envelope
  /// The anchor's public key at each path that declares one for the envelope.
  public let typeKeys: [ProtocolPath: X25519PublicKey]
  /// The roles of this protocol that may read the records of a path, in the order of its rules.
  public let readingRoles: [ProtocolPath: [ProtocolPath]]
  /// Most bytes of data that a record at a path may have; a path without one is bounded by `defaultSizeLimit`.
  public let sizeLimits: [ProtocolPath: Int]

  /// Most bytes of data where the definition says nothing (`trust.md` section 2.8).
  public static let defaultSizeLimit = 10_000

  /// Most bytes of data that a record at this path may have.
  public func sizeLimit(at path: ProtocolPath) -> Int { sizeLimits[path] ?? Self.defaultSizeLimit }

  /// The mesh definition that a tenant installs, with its key at every path: with the JWE envelope the one of
  /// `protocols/wireguard-mesh.json`, with v1 the same without heads, as all programs that speak v1 install it.
  public static func mesh(of tenant: MachineIdentity, envelope: Envelope = .jwe) -> MeshDefinition {
    built(
      from: envelope == .jwe ? ProtocolSource.mesh : ProtocolSource.meshWithoutHeads, uri: MeshProtocol.uri,
      for: tenant,
      envelope)
  }

  /// The key-delivery definition that an anchor of networks with the JWE envelope installs, with its key at every path.
  public static func keyDelivery(of anchor: MachineIdentity) -> MeshDefinition {
    built(from: ProtocolSource.keyDelivery, uri: KeyDeliveryProtocol.uri, for: anchor, .jwe)
  }

  /// What a configure message of the anchor says. Throws `unusableDefinition`.
  public init(_ configure: SignedMessage) throws(MeshError) {
    guard configure.message.kind == .protocolsConfigure, let json = configure.message.descriptor["definition"] else {
      throw .unusableDefinition(reason: "the message does not configure a protocol")
    }
    try self.init(json, anchor: configure.author)
  }

  /// What an installed definition of this anchor says.
  ///
  /// With `$encryption` the envelope is JWE and every key must be the anchor's own (`rootKeyId`) and of a large order; with
  /// `$keyAgreement`, also beside `$encryption`, it is v1. Throws `unusableDefinition`.
  public init(_ json: JSONValue, anchor: DID) throws(MeshError) {
    guard let uri = json["protocol"]?.string, let structure = json["structure"]?.object else {
      throw .unusableDefinition(reason: "it has no protocol URI or no structure")
    }
    var walk = DefinitionWalk(rootKeyID: anchor.text + "#1")
    try walk.visit(structure, below: nil)
    let envelope: Envelope
    switch (walk.hasEncryption, walk.hasKeyAgreement || json["$keyAgreement"] != nil) {
    case (_, true): envelope = .v1
    case (true, false): envelope = .jwe
    case (false, false): throw .unusableDefinition(reason: "it declares no encryption")
    }
    self.json = json
    self.protocolURI = uri
    self.envelope = envelope
    self.typeKeys = envelope == .jwe ? walk.typeKeys : walk.agreementKeys
    self.readingRoles = walk.readingRoles
    self.sizeLimits = walk.sizeLimits
  }

  /// Adds the tenant's key to every rule set, and with v1 on top; the own definition is then read like anybody's.
  private static func built(
    from source: JSONValue, uri: String, for tenant: MachineIdentity, _ envelope: Envelope
  ) -> MeshDefinition {
    var definition = source.object ?? JSONObject()
    let injection = KeyInjection(tenant: tenant, protocolURI: uri, envelope: envelope)
    definition["structure"] = .object(injection.into(definition["structure"]?.object ?? JSONObject(), below: nil))
    if envelope == .v1 { definition["$keyAgreement"] = injection.protocolKey }
    do {
      return try MeshDefinition(.object(definition), anchor: tenant.did)
    } catch {
      preconditionFailure("a definition of protocols/ is not usable: \(error)")
    }
  }
}

/// Puts a tenant's keys into a definition that has none.
private struct KeyInjection {
  let keys: KeyTree
  let rootKeyID: String
  let protocolURI: String
  let envelope: Envelope

  init(tenant: MachineIdentity, protocolURI: String, envelope: Envelope) {
    self.keys = KeyTree(tenant)
    self.rootKeyID = tenant.encryptionKeyID
    self.protocolURI = protocolURI
    self.envelope = envelope
  }

  func into(_ rules: JSONObject, below parent: ProtocolPath?) -> JSONObject {
    var result = JSONObject()
    for (name, value) in rules.members {
      guard let path = DefinitionWalk.path(name, below: parent), let ruleSet = value.object else {
        result[name] = value
        continue
      }
      var injected = into(ruleSet, below: path)
      let jwk = PublicJWK.x25519(keys.typeKey(protocolURI: protocolURI, path: path).publicKey).json
      switch envelope {
      case .jwe: injected["$encryption"] = ["rootKeyId": .string(rootKeyID), "publicKeyJwk": jwk]
      case .v1: injected["$keyAgreement"] = ["publicKeyJwk": jwk]
      }
      result[name] = .object(injected)
    }
    return result
  }

  var protocolKey: JSONValue {
    ["publicKeyJwk": PublicJWK.x25519(keys.key(at: .type(protocolURI: protocolURI)).publicKey).json]
  }
}

/// Goes through the rule sets of a definition and collects what the mesh needs of them.
private struct DefinitionWalk {
  let rootKeyID: String
  var typeKeys: [ProtocolPath: X25519PublicKey] = [:]
  /// Those of `$keyAgreement`. One that cannot be used is none: nothing is then encrypted at its path.
  var agreementKeys: [ProtocolPath: X25519PublicKey] = [:]
  var readingRoles: [ProtocolPath: [ProtocolPath]] = [:]
  var sizeLimits: [ProtocolPath: Int] = [:]
  var hasEncryption = false
  var hasKeyAgreement = false

  init(rootKeyID: String) {
    self.rootKeyID = rootKeyID
  }

  /// `nil` for a directive such as `$actions`, and for what cannot be a type's name.
  static func path(_ name: String, below parent: ProtocolPath?) -> ProtocolPath? {
    name.hasPrefix("$") ? nil : ProtocolPath(parent.map { $0.text + "/" + name } ?? name)
  }

  mutating func visit(_ rules: JSONObject, below parent: ProtocolPath?) throws(MeshError) {
    for (name, value) in rules.members where !name.hasPrefix("$") {
      guard let path = Self.path(name, below: parent), let ruleSet = value.object else {
        throw .unusableDefinition(reason: "\"\(name)\" in its structure is not the rule set of a type")
      }
      if let directive = ruleSet["$encryption"] {
        hasEncryption = true
        typeKeys[path] = try key(directive, at: path)
      }
      if let directive = ruleSet["$keyAgreement"] {
        hasKeyAgreement = true
        if let jwk = directive["publicKeyJwk"], case .x25519(let key)? = PublicJWK(jwk), !key.isSmallOrder {
          agreementKeys[path] = key
        }
      }
      readingRoles[path] = (ruleSet["$actions"]?.array ?? []).compactMap { rule in
        let canRead = rule["can"]?.array?.contains("read") ?? false
        return canRead ? rule["role"]?.string.flatMap { $0.contains(":") ? nil : ProtocolPath($0) } : nil
      }
      if let max = ruleSet["$size"]?["max"] {
        guard let limit = max.integer, limit >= 0 else {
          throw .unusableDefinition(reason: "the $size of \(path) is not a number of bytes")
        }
        sizeLimits[path] = Int(limit)
      }
      try visit(ruleSet, below: path)
    }
  }

  private func key(_ directive: JSONValue, at path: ProtocolPath) throws(MeshError) -> X25519PublicKey {
    guard directive["rootKeyId"]?.string == rootKeyID else {
      throw .unusableDefinition(reason: "the $encryption of \(path) names another root than the anchor's")
    }
    guard let jwk = directive["publicKeyJwk"], case .x25519(let key)? = PublicJWK(jwk), !key.isSmallOrder else {
      throw .unusableDefinition(reason: "the $encryption of \(path) has no usable X25519 key")
    }
    return key
  }
}
