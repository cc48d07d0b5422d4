public import Cryptography
import Wire

/// The `did:dht` method without its I/O: the DID is an Ed25519 key, and its document a small DNS message that this key has signed
/// (BEP 44), so that whoever hands it over need not be trusted with what it says.
public enum DHTMethod {
  /// The DID of an identity key.
  public static func did(for key: Ed25519PublicKey) -> DID {
    DID("did:dht:" + Base32.zBase32.encode(key.bytes.array))!
  }

  /// The key that the DID is. Throws `DIDError.malformed`.
  public static func identityKey(of did: DID) throws(DIDError) -> Ed25519PublicKey {
    guard did.method == "dht" else { throw .unsupportedMethod(String(did.method)) }
    guard let key = Base32.zBase32.decode(did.methodSpecificID).flatMap({ Ed25519PublicKey($0) }) else {
      throw .malformed(did, reason: "it is not a key of 32 bytes in z-base-32")
    }
    return key
  }
}

/// A signed value of the DHT as gateways hand it over.
///
/// | bytes | what |
/// |---|---|
/// | 64 | Ed25519 signature over `3:seqi<sequence>e1:v<length>:<value>` |
/// | 8 | sequence number, big-endian: the newer of two values has the greater one |
/// | 0–1000 | value: a DNS message |
public struct DHTPacket: Hashable, Sendable {
  public let did: DID
  public let sequence: UInt64
  /// `nil`: the DID's owner says that it is not used any more.
  public let document: DIDDocument?

  /// Largest value, in bytes (BEP 44).
  public static let maximumValue = 1000
  public static let maximumSize = 72 + maximumValue

  /// Checks size, signature and content of what a gateway gave for the DID. That there is no newer one, nothing can prove.
  ///
  /// Throws `DIDError.malformed` for a DID or document that is none, and `.unreachable` for a packet that the DID's key has not
  /// signed.
  public init(_ bytes: [UInt8], of did: DID) throws(DIDError) {
    let key = try DHTMethod.identityKey(of: did)
    guard (72...DHTPacket.maximumSize).contains(bytes.count) else {
      throw .unreachable(did, reason: "the gateway gave no packet of a size that one can have")
    }
    let sequence = bytes[64..<72].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    let value = Array(bytes[72...])
    guard sequence <= UInt64(Int64.max),
      key.verify(signature: Array(bytes[..<64]), of: DHTPacket.signed(value, sequence: sequence))
    else { throw .unreachable(did, reason: "the gateway gave a packet that the DID's key has not signed") }
    self.did = did
    self.sequence = sequence
    do {
      self.document = try DHTRecords.document(value, of: did)
    } catch .deactivated {
      self.document = nil
    }
  }

  /// A packet to publish. Throws `DIDError.malformed` for a document that cannot be written as records or is too large, or that is
  /// not the key's.
  public static func bytes(
    _ document: DIDDocument, sequence: UInt64, key: Ed25519PrivateKey
  ) throws(DIDError) -> [UInt8] {
    guard document.id == DHTMethod.did(for: key.publicKey), sequence <= UInt64(Int64.max) else {
      throw .malformed(document.id, reason: "the document is not the key's")
    }
    let value = try DHTRecords.packet(for: document)
    guard value.count <= maximumValue else {
      throw .malformed(document.id, reason: "its document is larger than \(maximumValue) bytes as DNS records")
    }
    var writer = ByteWriter()
    writer.append(key.sign(signed(value, sequence: sequence)))
    writer.bigEndian(sequence)
    writer.append(value)
    return writer.bytes
  }

  private static func signed(_ value: [UInt8], sequence: UInt64) -> [UInt8] {
    Array("3:seqi\(sequence)e1:v\(value.count):".utf8) + value
  }
}
