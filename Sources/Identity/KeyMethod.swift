import Cryptography
import Wire

/// The `did:key` method: the DID is the multibase text of a multicodec key.
///
/// | key | multicodec |
/// |---|---|
/// | Ed25519 | `ed 01`, 32 bytes |
/// | X25519 | `ec 01`, 32 bytes |
/// | secp256k1 | `e7 01`, a compressed point |
/// | P-256 | `80 24`, a compressed point |
public enum KeyMethod {
  /// The one DID of a key.
  public static func did(for key: PublicJWK) -> DID {
    DID("did:key:" + multibase(key))!
  }

  static func resolve(_ did: DID) throws(DIDError) -> DIDDocument {
    let text = did.methodSpecificID
    guard text.first == "z", let bytes = Base58.decode(text.dropFirst()) else {
      throw .malformed(did, reason: "its key is not base58btc")
    }
    guard let key = key(multicodec: bytes) else {
      throw .malformed(did, reason: "its key is none of Ed25519, X25519, secp256k1 and P-256")
    }
    let id = "\(did.text)#\(text)"
    guard let algorithm = key.algorithm else {
      return DIDDocument(
        id: did, verificationMethods: [.init(id: id, publicKeyJWK: key.json)], authentication: [], keyAgreement: [id])
    }
    // Other implementations of the method name key and algorithm in the JWK, so that it can stand alone.
    var jwk = key.json.object ?? [:]
    jwk["kid"] = .string(id)
    jwk["alg"] = .string(algorithm.rawValue)
    var document = DIDDocument(
      id: did, verificationMethods: [.init(id: id, publicKeyJWK: .object(jwk))], authentication: [id],
      keyAgreement: [])
    if case .ed25519(let key) = key, let twin = key.x25519 {
      let id = "\(did.text)#\(multibase(.x25519(twin)))"
      document.verificationMethods.append(.init(id: id, publicKeyJWK: PublicJWK.x25519(twin).json))
      document.keyAgreement = [id]
    }
    return document
  }

  private static func multibase(_ key: PublicJWK) -> String {
    "z" + Base58.encode(codec(key) + key.bytes)
  }

  private static func codec(_ key: PublicJWK) -> [UInt8] {
    switch key {
    case .ed25519: [0xed, 0x01]
    case .x25519: [0xec, 0x01]
    case .secp256k1: [0xe7, 0x01]
    case .p256: [0x80, 0x24]
    }
  }

  private static func key(multicodec bytes: [UInt8]) -> PublicJWK? {
    let key = bytes.dropFirst(2)
    switch (bytes.first, bytes.dropFirst().first, key.count) {
    case (0xed, 0x01, 32): return Ed25519PublicKey(key).map { .ed25519($0) }
    case (0xec, 0x01, 32): return X25519PublicKey(key).map { .x25519($0) }
    case (0xe7, 0x01, 33): return Secp256k1PublicKey(key).map { .secp256k1($0) }
    case (0x80, 0x24, 33): return P256PublicKey(key).map { .p256($0) }
    default: return nil
    }
  }
}
