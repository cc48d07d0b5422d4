import Cryptography
import Wire

/// The `did:jwk` method: the DID is the base64url of a JWK.
///
/// A DID of this program is the one text that `did(for:)` gives. DIDs of others may order or add members; their text is kept.
enum JWKMethod {
  /// `did:jwk:` and the base64url of exactly `{"kty":"OKP","crv":"Ed25519","x":"…"}`.
  static func did(for key: Ed25519PublicKey) -> DID {
    DID("did:jwk:" + Base64.encode(PublicJWK.ed25519(key).json.encoded))!
  }

  /// The document: `#0` is the key itself; an Ed25519 key has its X25519 twin as `#1`.
  static func resolve(_ did: DID) throws(DIDError) -> DIDDocument {
    guard let bytes = Base64.decode(did.methodSpecificID) else {
      throw .malformed(did, reason: "its key is not base64url without padding")
    }
    guard let jwk = try? JSONValue(parsing: bytes, depth: 4), jwk.object != nil, jwk["kty"]?.string != nil else {
      throw .malformed(did, reason: "its key is not a JSON Web Key")
    }
    guard jwk["d"] == nil else { throw .malformed(did, reason: "it carries a private key") }
    // Keys of other kinds are somebody's business, but one that names a curve known here must be a point of it.
    let isKnown = jwk["kty"] == "OKP" || jwk["crv"] == "secp256k1" || jwk["crv"] == "P-256"
    guard !isKnown || PublicJWK(jwk) != nil else {
      throw .malformed(did, reason: "its key is not one of a known curve")
    }
    let zero = did.text + "#0"
    var document = DIDDocument(
      id: did, verificationMethods: [.init(id: zero, publicKeyJWK: jwk)], authentication: [zero], keyAgreement: [])
    switch PublicJWK(jwk) {
    case .ed25519(let key):
      if let twin = key.x25519 {
        let one = did.text + "#1"
        document.verificationMethods.append(.init(id: one, publicKeyJWK: PublicJWK.x25519(twin).json))
        document.keyAgreement = [one]
      }
    case .x25519:
      document.authentication = []
      document.keyAgreement = [zero]
    case .secp256k1, .p256, nil: break
    }
    return document
  }
}
