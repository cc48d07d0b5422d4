public import Cryptography
public import Wire

/// What a DID resolves to (W3C DID Core), as far as it is used: keys and what they are for.
public struct DIDDocument: Hashable, Sendable {
  public struct VerificationMethod: Hashable, Sendable {
    /// A DID URL.
    public var id: String
    /// `JsonWebKey` or `JsonWebKey2020`.
    public var type: String
    /// `nil` for the document's own DID.
    public var controller: String?
    /// The key as it stands in the document, whatever its kind.
    public var publicKeyJWK: JSONValue

    public init(id: String, type: String = "JsonWebKey", controller: String? = nil, publicKeyJWK: JSONValue) {
      self.id = id
      self.type = type
      self.controller = controller
      self.publicKeyJWK = publicKeyJWK
    }
  }

  /// Something that the DID's owner points to.
  public struct Service: Hashable, Sendable {
    /// A DID URL.
    public var id: String
    public var types: [String]
    /// Only those that are texts.
    public var endpoints: [String]

    public init(id: String, types: [String], endpoints: [String]) {
      self.id = id
      self.types = types
      self.endpoints = endpoints
    }

    var json: JSONValue {
      func oneOrMany(_ texts: [String]) -> JSONValue {
        texts.count == 1 ? .string(texts[0]) : .array(texts.map { .string($0) })
      }
      return ["id": .string(id), "type": oneOrMany(types), "serviceEndpoint": oneOrMany(endpoints)]
    }
  }

  public var id: DID
  public var controllers: [String] = []
  public var alsoKnownAs: [String] = []
  public var verificationMethods: [VerificationMethod]
  /// Ids of the methods that sign.
  public var authentication: [String]
  public var assertionMethod: [String]
  public var capabilityInvocation: [String]
  public var capabilityDelegation: [String]
  /// Ids of the methods that others encrypt to.
  public var keyAgreement: [String]
  public var services: [Service] = []

  /// A document whose signing methods may be used for everything that a signature can say.
  public init(id: DID, verificationMethods: [VerificationMethod], authentication: [String], keyAgreement: [String]) {
    self.id = id
    self.verificationMethods = verificationMethods
    self.authentication = authentication
    self.assertionMethod = authentication
    self.capabilityInvocation = authentication
    self.capabilityDelegation = authentication
    self.keyAgreement = keyAgreement
  }

  /// The first method whose id ends the given DID URL (documents may carry relative ids such as `#0`).
  public func method(for url: String) -> VerificationMethod? {
    verificationMethods.first { !$0.id.isEmpty && url.hasSuffix($0.id) }
  }

  /// The X25519 key that the DID gives for encryption.
  public var encryptionKey: X25519PublicKey? {
    for id in keyAgreement {
      if let method = verificationMethods.first(where: { $0.id == id }),
        case .x25519(let key)? = PublicJWK(method.publicKeyJWK)
      {
        return key
      }
    }
    return nil
  }

  /// With the context of DID Core; members without content are left out.
  public var json: JSONValue {
    func list(_ texts: [String]) -> JSONValue? { texts.isEmpty ? nil : .array(texts.map { .string($0) }) }
    var object: JSONObject = ["@context": ["https://www.w3.org/ns/did/v1"], "id": .string(id.text)]
    object["controller"] = controllers.count == 1 ? .string(controllers[0]) : list(controllers)
    object["alsoKnownAs"] = list(alsoKnownAs)
    if !verificationMethods.isEmpty {
      object["verificationMethod"] = .array(
        verificationMethods.map {
          [
            "id": .string($0.id), "type": .string($0.type), "controller": .string($0.controller ?? id.text),
            "publicKeyJwk": $0.publicKeyJWK,
          ]
        })
    }
    object["authentication"] = list(authentication)
    object["assertionMethod"] = list(assertionMethod)
    object["capabilityInvocation"] = list(capabilityInvocation)
    object["capabilityDelegation"] = list(capabilityDelegation)
    object["keyAgreement"] = list(keyAgreement)
    if !services.isEmpty { object["service"] = .array(services.map(\.json)) }
    return .object(object)
  }
}

/// Why a DID gave no document.
public enum DIDError: Error, Hashable, CustomStringConvertible {
  case unsupportedMethod(String)
  case malformed(DID, reason: String)
  /// Its owner has said that it is not used any more.
  case deactivated(DID)
  /// The DID's host or gateway gave no document, or one that cannot be believed.
  case unreachable(DID, reason: String)
  /// Too many are being asked for here; nobody asked for this one.
  case busy(DID)

  public var description: String {
    switch self {
    case .unsupportedMethod(let method):
      "DIDs of method \"\(method)\" cannot be resolved by this version: use did:jwk or did:key"
    case .malformed(let did, let reason): "\(did) is not a valid DID: \(reason)"
    case .deactivated(let did): "\(did) has been deactivated"
    case .unreachable(let did, let reason): "\(did) could not be resolved: \(reason)"
    case .busy(let did): "\(did) is not resolved now: too many DIDs are being asked for at this moment"
    }
  }
}
