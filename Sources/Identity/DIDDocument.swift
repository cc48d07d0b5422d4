public import Cryptography
public import Wire

/// What a DID resolves to (W3C DID Core), as far as it is used: keys and what they are for.
public struct DIDDocument: Hashable, Sendable {
  public struct VerificationMethod: Hashable, Sendable {
    /// A DID URL.
    public var id: String
    /// `JsonWebKey` or `JsonWebKey2020`.
    public var type: String
    /// The key as it stands in the document, whatever its kind.
    public var publicKeyJWK: JSONValue

    public init(id: String, type: String = "JsonWebKey", publicKeyJWK: JSONValue) {
      self.id = id
      self.type = type
      self.publicKeyJWK = publicKeyJWK
    }
  }

  public var id: DID
  public var verificationMethods: [VerificationMethod]
  /// Ids of the methods that sign.
  public var authentication: [String]
  /// Ids of the methods that others encrypt to.
  public var keyAgreement: [String]

  public init(id: DID, verificationMethods: [VerificationMethod], authentication: [String], keyAgreement: [String]) {
    self.id = id
    self.verificationMethods = verificationMethods
    self.authentication = authentication
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

  public var json: JSONValue {
    [
      "@context": ["https://www.w3.org/ns/did/v1"],
      "id": .string(id.text),
      "verificationMethod": .array(
        verificationMethods.map {
          [
            "id": .string($0.id), "type": .string($0.type), "controller": .string(id.text),
            "publicKeyJwk": $0.publicKeyJWK,
          ]
        }),
      "authentication": .array(authentication.map { .string($0) }),
      "assertionMethod": .array(authentication.map { .string($0) }),
      "capabilityInvocation": .array(authentication.map { .string($0) }),
      "capabilityDelegation": .array(authentication.map { .string($0) }),
      "keyAgreement": .array(keyAgreement.map { .string($0) }),
    ]
  }
}

/// Why a DID gave no document.
public enum DIDError: Error, Hashable, CustomStringConvertible {
  case unsupportedMethod(String)
  case malformed(DID, reason: String)
  /// The DID's host or gateway gave no document, or one that cannot be believed.
  case unreachable(DID, reason: String)

  public var description: String {
    switch self {
    case .unsupportedMethod(let method):
      "DIDs of method \"\(method)\" cannot be resolved by this version: use did:jwk or did:key"
    case .malformed(let did, let reason): "\(did) is not a valid DID: \(reason)"
    case .unreachable(let did, let reason): "\(did) could not be resolved: \(reason)"
    }
  }
}
