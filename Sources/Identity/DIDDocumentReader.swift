public import Wire

extension DIDDocument {
  /// Largest document that is read, in bytes of JSON text.
  public static let maximumSize = 64 << 10
  /// Most methods, services, or references of one kind.
  static let maximumCount = 64
  /// Longest text in it, in bytes.
  static let maximumText = 2048

  /// Reads what a stranger says a DID's document is (W3C DID Core section 5).
  ///
  /// The document's `id` must be the DID byte for byte. Ids that begin with `#` are completed with it. Verification methods
  /// without a `publicKeyJwk` are left out, as are members that nothing here uses. Throws `DIDError.malformed`.
  public init(parsing text: some Collection<UInt8>, of did: DID) throws(DIDError) {
    let json: JSONValue
    do {
      json = try JSONValue(parsing: text, depth: 8, limit: DIDDocument.maximumSize)
    } catch {
      throw .malformed(did, reason: "its document is \(error)")
    }
    try self.init(json, of: did)
  }

  public init(_ json: JSONValue, of did: DID) throws(DIDError) {
    let reader = DIDDocumentReader(did: did)
    guard let object = json.object, let id = object["id"]?.string, id.utf8.elementsEqual(did.text.utf8) else {
      throw .malformed(did, reason: "its document is that of somebody else, or of nobody")
    }
    var methods: [VerificationMethod] = []
    for entry in try reader.list(object, "verificationMethod") {
      if let method = try reader.method(entry) { methods.append(method) }
    }
    func relationship(_ name: String) throws(DIDError) -> [String] {
      var ids: [String] = []
      for entry in try reader.list(object, name) {
        if entry.object != nil {
          guard let method = try reader.method(entry) else { continue }
          methods.append(method)
          ids.append(method.id)
        } else {
          ids.append(try reader.url(entry, name))
        }
      }
      return ids
    }
    self.init(id: did, verificationMethods: [], authentication: [], keyAgreement: [])
    authentication = try relationship("authentication")
    assertionMethod = try relationship("assertionMethod")
    capabilityInvocation = try relationship("capabilityInvocation")
    capabilityDelegation = try relationship("capabilityDelegation")
    keyAgreement = try relationship("keyAgreement")
    verificationMethods = methods
    controllers = try reader.texts(object, "controller")
    alsoKnownAs = try reader.texts(object, "alsoKnownAs")
    for entry in try reader.list(object, "service") { services.append(try reader.service(entry)) }
  }
}

/// The parts of a document, each bounded.
private struct DIDDocumentReader {
  let did: DID

  func list(_ object: JSONObject, _ name: String) throws(DIDError) -> [JSONValue] {
    guard let value = object[name] else { return [] }
    guard let list = value.array, list.count <= DIDDocument.maximumCount else {
      throw .malformed(did, reason: "\(name) of its document is no list, or a long one")
    }
    return list
  }

  /// A text, or a list of them.
  func texts(_ object: JSONObject, _ name: String) throws(DIDError) -> [String] {
    guard let value = object[name] else { return [] }
    if value.string != nil { return [try text(value, name)] }
    var texts: [String] = []
    for entry in try list(object, name) { texts.append(try text(entry, name)) }
    return texts
  }

  func text(_ value: JSONValue?, _ name: String) throws(DIDError) -> String {
    guard let text = value?.string, (1...DIDDocument.maximumText).contains(text.utf8.count) else {
      throw .malformed(did, reason: "\(name) of its document has no text of reasonable length")
    }
    return text
  }

  func url(_ value: JSONValue?, _ name: String) throws(DIDError) -> String {
    let text = try text(value, name)
    return text.utf8.first == UInt8(ascii: "#") ? did.text + text : text
  }

  /// `nil` for a method whose key is not a JWK.
  func method(_ json: JSONValue) throws(DIDError) -> DIDDocument.VerificationMethod? {
    guard let object = json.object else { throw .malformed(did, reason: "a verification method is no object") }
    let id = try url(object["id"], "a verification method")
    let type = try text(object["type"], "a verification method")
    guard let jwk = object["publicKeyJwk"] else { return nil }
    guard jwk.object != nil, jwk["d"] == nil else {
      throw .malformed(did, reason: "a verification method's key is no public JWK")
    }
    let controller = object["controller"] == nil ? nil : try text(object["controller"], "a verification method")
    return .init(id: id, type: type, controller: controller == did.text ? nil : controller, publicKeyJWK: jwk)
  }

  func service(_ json: JSONValue) throws(DIDError) -> DIDDocument.Service {
    guard let object = json.object else { throw .malformed(did, reason: "a service is no object") }
    var endpoints: [String] = []
    for value in object["serviceEndpoint"].map({ $0.array ?? [$0] }) ?? [] {
      // Older documents of DWNs have a map with the nodes.
      for text in value["nodes"]?.array ?? [value] {
        guard endpoints.count < DIDDocument.maximumCount else {
          throw .malformed(did, reason: "a service has too many endpoints")
        }
        if text.string != nil { endpoints.append(try self.text(text, "a service endpoint")) }
      }
    }
    return .init(id: try url(object["id"], "a service"), types: try texts(object, "type"), endpoints: endpoints)
  }
}
