public import Wire

/// Why a JWS was refused. The names are those of the DWN's error codes.
public enum JWSError: Error, Hashable, CustomStringConvertible {
  case malformed(String)
  case missingKid
  case missingAlg
  case unresolvable(String)
  case keyNotFound(kid: String)
  case unsupportedCurve(String)
  case invalidSignature(kid: String)

  /// The code as DWN servers print it.
  public var code: String {
    switch self {
    case .malformed: "GeneralJwsMalformed"
    case .missingKid: "GeneralJwsVerifierMissingKid"
    case .missingAlg: "GeneralJwsVerifierMissingAlg"
    case .unresolvable, .keyNotFound: "GeneralJwsVerifierGetPublicKeyNotFound"
    case .unsupportedCurve: "JwsVerifySignatureUnsupportedCrv"
    case .invalidSignature: "GeneralJwsVerifierInvalidSignature"
    }
  }

  public var description: String {
    switch self {
    case .malformed(let reason): "malformed JWS: \(reason)"
    case .missingKid: "the protected header has no kid"
    case .missingAlg: "the protected header has no alg"
    case .unresolvable(let reason): reason
    case .keyNotFound(let kid): "no public key for \(kid)"
    case .unsupportedCurve(let curve): "keys on the curve \(curve) are not supported by this version"
    case .invalidSignature(let kid): "the signature by \(kid) does not verify"
    }
  }
}

/// A JWS in general JSON serialization (RFC 7515 section 7.2.1), strictly read: exactly the members it must have, canonical
/// base64url, and no unprotected header.
public struct GeneralJWS: Hashable, Sendable {
  public struct Signature: Hashable, Sendable {
    public let protected: String
    public let signature: String
    /// The DID URL of the key, and its DID.
    public let kid: String?
    public let alg: String?
    public var signer: DID? { kid.flatMap { DID.split(url: $0)?.did } }
  }

  /// base64url
  public let payload: String
  public let signatures: [Signature]

  public init(_ json: JSONValue) throws(JWSError) {
    guard let object = json.object, object.count == 2, let payload = object["payload"]?.string,
      let list = object["signatures"]?.array
    else { throw .malformed("it must have exactly payload and signatures") }
    guard Base64.decode(payload) != nil else { throw .malformed("the payload is not canonical base64url") }
    guard (1...16).contains(list.count) else { throw .malformed("it has \(list.count) signatures") }
    var signatures: [Signature] = []
    for entry in list {
      guard let object = entry.object, object.count == 2, let protected = object["protected"]?.string,
        let signature = object["signature"]?.string
      else { throw .malformed("a signature must have exactly protected and signature") }
      guard let header = Base64.decode(protected), Base64.decode(signature) != nil else {
        throw .malformed("a signature is not canonical base64url")
      }
      guard let fields = try? JSONValue(parsing: header, depth: 4), fields.object != nil else {
        throw .malformed("a protected header is not a JSON object")
      }
      // RFC 7515 section 4.1.11: an extension that must be understood, and none is.
      guard fields["crit"] == nil else { throw .malformed("a protected header demands an extension (crit)") }
      signatures.append(
        Signature(
          protected: protected, signature: signature, kid: fields["kid"]?.string, alg: fields["alg"]?.string))
    }
    self.payload = payload
    self.signatures = signatures
  }

  private init(payload: String, signatures: [Signature]) {
    self.payload = payload
    self.signatures = signatures
  }

  public var payloadBytes: [UInt8] { Base64.decode(payload) ?? [] }

  public var json: JSONValue {
    [
      "payload": .string(payload),
      "signatures": .array(
        signatures.map { ["protected": .string($0.protected), "signature": .string($0.signature)] }),
    ]
  }

  /// The DIDs whose documents `verify` asks for.
  public var signers: Set<DID> { Set(signatures.compactMap(\.signer)) }

  /// Verifies every signature over the text as received and returns the signers in order.
  ///
  /// The key alone decides how a signature is verified; an `alg` that is not the key's makes it invalid.
  public func verify(with resolver: some DIDResolver) throws(JWSError) -> [DID] {
    var signers: [DID] = []
    for signature in signatures {
      guard let kid = signature.kid else { throw .missingKid }
      guard let alg = signature.alg else { throw .missingAlg }
      guard let (did, _) = DID.split(url: kid) else { throw .keyNotFound(kid: kid) }
      let document: DIDDocument
      do { document = try resolver.resolve(did) } catch { throw .unresolvable(error.description) }
      guard let method = document.method(for: kid), method.type == "JsonWebKey" || method.type == "JsonWebKey2020"
      else {
        throw .keyNotFound(kid: kid)
      }
      guard let key = PublicJWK(method.publicKeyJWK), let algorithm = key.algorithm else {
        throw .unsupportedCurve(method.publicKeyJWK["crv"]?.string ?? "?")
      }
      let input = Array((signature.protected + "." + payload).utf8)
      guard alg == algorithm.rawValue, let bytes = Base64.decode(signature.signature),
        key.verify(signature: bytes, of: input)
      else { throw .invalidSignature(kid: kid) }
      signers.append(did)
    }
    return signers
  }

  /// Verifies with the documents that a directory gives, which it may have to fetch.
  public func verify(asking directory: some DIDDirectory) async throws(JWSError) -> [DID] {
    try verify(with: await directory.documents(of: signers))
  }

  /// One EdDSA signature. The protected header is `{"alg":"EdDSA","kid":…}`, compact, in this order.
  public static func sign(_ payload: [UInt8], with identity: MachineIdentity) -> GeneralJWS {
    sign(payload, key: identity.signingKey, kid: identity.signingKeyID)
  }

  /// One signature by the algorithm of the key. The protected header is `{"alg":…,"kid":…}`, compact, in this order.
  public static func sign(_ payload: [UInt8], key: some JWSSigningKey, kid: String) -> GeneralJWS {
    let alg = key.publicJWK.algorithm?.rawValue ?? ""
    let header: JSONValue = ["alg": .string(alg), "kid": .string(kid)]
    return sign(payload, header: header.encoded, key: key, kid: kid)
  }

  /// With a protected header of the caller's spelling, which must name `kid`.
  public static func sign(
    _ payload: [UInt8], header: [UInt8], key: some JWSSigningKey, kid: String
  ) -> GeneralJWS {
    let protected = Base64.encode(header)
    let encoded = Base64.encode(payload)
    let signature = key.sign(Array((protected + "." + encoded).utf8))
    return GeneralJWS(
      payload: encoded,
      signatures: [
        Signature(
          protected: protected, signature: Base64.encode(signature), kid: kid, alg: key.publicJWK.algorithm?.rawValue)
      ])
  }
}
