import Cryptography
import Wire

/// The `did:key` method for Ed25519 and X25519: the DID is the multibase text of a multicodec key.
enum KeyMethod {
  private static let ed25519Codec: [UInt8] = [0xed, 0x01]
  private static let x25519Codec: [UInt8] = [0xec, 0x01]

  static func resolve(_ did: DID) throws(DIDError) -> DIDDocument {
    let text = did.methodSpecificID
    guard text.first == "z", let bytes = Base58.decode(text.dropFirst()) else {
      throw .malformed(did, reason: "its key is not base58btc")
    }
    let method = "\(did.text)#\(text)"
    if bytes.starts(with: ed25519Codec), let key = Ed25519PublicKey(bytes.dropFirst(2)) {
      // Other implementations of the method name key and algorithm in the JWK, so that it can stand alone.
      var jwk = PublicJWK.ed25519(key).json.object ?? [:]
      jwk["kid"] = .string(method)
      jwk["alg"] = "EdDSA"
      var document = DIDDocument(
        id: did, verificationMethods: [.init(id: method, publicKeyJWK: .object(jwk))],
        authentication: [method], keyAgreement: [])
      if let twin = key.x25519 {
        let id = "\(did.text)#z\(Base58.encode(x25519Codec + twin.bytes.array))"
        document.verificationMethods.append(.init(id: id, publicKeyJWK: PublicJWK.x25519(twin).json))
        document.keyAgreement = [id]
      }
      return document
    }
    if bytes.starts(with: x25519Codec), let key = X25519PublicKey(bytes.dropFirst(2)) {
      return DIDDocument(
        id: did, verificationMethods: [.init(id: method, publicKeyJWK: PublicJWK.x25519(key).json)],
        authentication: [], keyAgreement: [method])
    }
    throw .malformed(did, reason: "its key is neither Ed25519 nor X25519")
  }
}
