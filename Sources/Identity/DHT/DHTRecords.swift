import Cryptography
import Wire

/// A `did:dht` document as DNS records, and back (did:dht specification, "Property mapping").
///
/// | name | text |
/// |---|---|
/// | `_did.<id>` | `v=0;vm=k0,k1;auth=k0;asm=…;agm=…;inv=…;del=…;svc=s0` |
/// | `_k0._did` | `t=<kind of key>;k=<key, base64url>`, and perhaps `id=`, `a=<algorithm>`, `c=<controller>` |
/// | `_s0._did` | `id=…;t=<type>;se=<endpoints>` |
/// | `_cnt._did`, `_aka._did` | controllers, other names |
enum DHTRecords {
  static func document(_ value: [UInt8], of did: DID) throws(DIDError) -> DIDDocument {
    let packet: DNSPacket
    do { packet = try DNSPacket(parsing: value) } catch {
      throw .malformed(did, reason: "its packet is not a DNS message")
    }
    return try document(packet, of: did)
  }

  static func document(_ packet: DNSPacket, of did: DID) throws(DIDError) -> DIDDocument {
    var texts: [String: String] = [:]
    for record in packet.records {
      guard texts.updateValue(record.text, forKey: record.name) == nil else {
        throw .malformed(did, reason: "its packet has two records \(record.name)")
      }
    }
    guard let rootText = texts["_did." + did.methodSpecificID] else {
      throw .malformed(did, reason: "its packet has no root record")
    }
    guard rootText != "deactivated" else { throw .deactivated(did) }
    let root = Properties(rootText)
    guard root["v"] == "0" else { throw .malformed(did, reason: "its packet has an unknown version") }
    let aliases = root.list("vm")
    guard aliases.first == "k0", aliases.count <= DIDDocument.maximumCount, Set(aliases).count == aliases.count else {
      throw .malformed(did, reason: "its packet's first key is not k0, or it has a key twice or too many")
    }
    let identityKey = try DHTMethod.identityKey(of: did)
    var document = DIDDocument(id: did, verificationMethods: [], authentication: [], keyAgreement: [])
    var ids: [String: String] = [:]
    for alias in aliases {
      guard let text = texts["_\(alias)._did"], let (key, method) = method(Properties(text), alias, of: did) else {
        throw .malformed(did, reason: "its packet's key \(alias) is missing, or none")
      }
      guard alias != "k0" || key == .ed25519(identityKey) else {
        throw .malformed(did, reason: "its packet's first key is not the DID's")
      }
      ids[alias] = method.id
      document.verificationMethods.append(method)
    }
    func relationship(_ name: String) throws(DIDError) -> [String] {
      var methods: [String] = []
      for alias in root.list(name) {
        guard let id = ids[alias], methods.count < DIDDocument.maximumCount else {
          throw .malformed(did, reason: "its packet uses a key that it does not have")
        }
        methods.append(id)
      }
      return methods
    }
    document.authentication = try relationship("auth")
    document.assertionMethod = try relationship("asm")
    document.capabilityInvocation = try relationship("inv")
    document.capabilityDelegation = try relationship("del")
    document.keyAgreement = try relationship("agm")
    document.controllers = list(texts["_cnt._did"])
    document.alsoKnownAs = list(texts["_aka._did"])
    for alias in root.list("svc").prefix(DIDDocument.maximumCount) {
      guard let text = texts["_\(alias)._did"] else {
        throw .malformed(did, reason: "its packet's service \(alias) is missing")
      }
      let service = Properties(text)
      guard let id = service["id"], !id.isEmpty, let type = service["t"] else {
        throw .malformed(did, reason: "its packet's service \(alias) has no name or type")
      }
      document.services.append(.init(id: "\(did)#\(id)", types: [type], endpoints: service.list("se")))
    }
    return document
  }

  static func packet(for document: DIDDocument) throws(DIDError) -> [UInt8] {
    do { return try DNSPacket(records: records(for: document)).encoded() } catch let error as DIDError {
      throw error
    } catch {
      throw .malformed(document.id, reason: "its document does not fit DNS records")
    }
  }

  static func records(for document: DIDDocument) throws(DIDError) -> [DNSPacket.TextRecord] {
    let did = document.id
    func checked(_ text: String) throws(DIDError) -> String {
      guard !text.isEmpty, !text.utf8.contains(where: { $0 == UInt8(ascii: ";") || $0 == UInt8(ascii: ",") }) else {
        throw .malformed(did, reason: "a text of its document has a character that separates those of DNS records")
      }
      return text
    }
    func joined(_ texts: [String]) throws(DIDError) -> String {
      var result: [String] = []
      for text in texts { result.append(try checked(text)) }
      return result.joined(separator: ",")
    }
    var records: [DNSPacket.TextRecord] = []
    var aliases: [String: String] = [:]
    for (index, method) in document.verificationMethods.enumerated() {
      aliases[method.id] = "k\(index)"
    }
    var root = ["v=0", "vm=" + document.verificationMethods.indices.map { "k\($0)" }.joined(separator: ",")]
    for (name, ids) in [
      ("auth", document.authentication), ("asm", document.assertionMethod), ("agm", document.keyAgreement),
      ("inv", document.capabilityInvocation), ("del", document.capabilityDelegation),
    ] where !ids.isEmpty {
      let used = ids.compactMap { aliases[$0] }
      guard used.count == ids.count else { throw .malformed(did, reason: "its document uses a key that it has not") }
      root.append("\(name)=" + used.joined(separator: ","))
    }
    if !document.services.isEmpty {
      root.append("svc=" + document.services.indices.map { "s\($0)" }.joined(separator: ","))
    }
    records.append(.init(name: "_did." + did.methodSpecificID, text: root.joined(separator: ";")))
    if !document.controllers.isEmpty {
      records.append(.init(name: "_cnt._did", text: try joined(document.controllers)))
    }
    if !document.alsoKnownAs.isEmpty {
      records.append(.init(name: "_aka._did", text: try joined(document.alsoKnownAs)))
    }
    for (index, method) in document.verificationMethods.enumerated() {
      guard let key = PublicJWK(method.publicKeyJWK), let id = fragment(method.id, of: did) else {
        throw .malformed(did, reason: "a key of its document is of another kind, or somebody else's")
      }
      var parts: [String] = []
      if index == 0 {
        guard key == .ed25519(try DHTMethod.identityKey(of: did)), id == "0" else {
          throw .malformed(did, reason: "its document's first key is not the DID's")
        }
      } else if id != key.thumbprint {
        parts.append("id=" + (try checked(id)))
      }
      parts += ["t=\(kind(of: key))", "k=" + Base64.encode(key.bytes)]
      if let algorithm = method.publicKeyJWK["alg"]?.string, algorithm != defaultAlgorithm(key) {
        parts.append("a=" + (try checked(algorithm)))
      }
      if let controller = method.controller { parts.append("c=" + (try checked(controller))) }
      records.append(.init(name: "_k\(index)._did", text: parts.joined(separator: ";")))
    }
    for (index, service) in document.services.enumerated() {
      guard let id = fragment(service.id, of: did), service.types.count == 1, !service.endpoints.isEmpty else {
        throw .malformed(did, reason: "a service of its document is not one that DNS records can hold")
      }
      records.append(
        .init(
          name: "_s\(index)._did",
          text: "id=\(try checked(id));t=\(try checked(service.types[0]));se=\(try joined(service.endpoints))"))
    }
    return records
  }

  private static func method(
    _ properties: Properties, _ alias: String, of did: DID
  ) -> (PublicJWK, DIDDocument.VerificationMethod)? {
    guard let bytes = properties["k"].flatMap({ Base64.decode($0) }), let kind = properties["t"],
      let key = key(kind, bytes)
    else { return nil }
    let named = properties["id"] ?? key.thumbprint
    guard !named.isEmpty else { return nil }
    // Other implementations name the thumbprint in the JWK of the identity key too, whose id is 0.
    var jwk = key.json.object ?? [:]
    jwk["kid"] = .string(named)
    jwk["alg"] = .string(properties["a"] ?? defaultAlgorithm(key))
    let id = "\(did)#\(alias == "k0" ? "0" : named)"
    let controller = properties["c"]
    return (
      key, .init(id: id, controller: controller == did.text ? nil : controller, publicKeyJWK: .object(jwk))
    )
  }

  private static func key(_ kind: String, _ bytes: [UInt8]) -> PublicJWK? {
    switch (kind, bytes.count) {
    case ("0", 32): Ed25519PublicKey(bytes).map { .ed25519($0) }
    case ("1", 33): Secp256k1PublicKey(bytes).map { .secp256k1($0) }
    case ("2", 33): P256PublicKey(bytes).map { .p256($0) }
    case ("3", 32): X25519PublicKey(bytes).map { .x25519($0) }
    default: nil
    }
  }

  private static func kind(of key: PublicJWK) -> Int {
    switch key {
    case .ed25519: 0
    case .secp256k1: 1
    case .p256: 2
    case .x25519: 3
    }
  }

  private static func defaultAlgorithm(_ key: PublicJWK) -> String {
    key.algorithm?.rawValue ?? "ECDH-ES+A256KW"
  }

  private static func fragment(_ url: String, of did: DID) -> String? {
    guard let (owner, fragment) = DID.split(url: url), owner == did, !fragment.isEmpty else { return nil }
    return fragment
  }

  private static func list(_ text: String?) -> [String] {
    (text ?? "").split(separator: ",").prefix(DIDDocument.maximumCount).map(String.init)
  }

  /// `name=value` pairs between semicolons; of two with one name the first counts.
  private struct Properties {
    private var values: [String: String] = [:]

    init(_ text: String) {
      for part in text.split(separator: ";") {
        let pair = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        guard pair.count == 2, values[String(pair[0])] == nil else { continue }
        values[String(pair[0])] = String(pair[1])
      }
    }

    subscript(_ name: String) -> String? { values[name] }

    func list(_ name: String) -> [String] { DHTRecords.list(values[name]) }
  }
}
