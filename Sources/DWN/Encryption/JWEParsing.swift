import Identity
public import Wire

extension JWEEnvelope {
  /// Reads the one form that is written and nothing beside it: no member more or less at any level, no padding, no other length,
  /// no other protected text.
  public init(_ json: JSONValue) throws(EnvelopeError) {
    let object = try Self.members(json, of: "it", required: ["protected", "iv", "tag", "recipients"])
    guard object["protected"]?.string == Self.protectedText else {
      throw .malformed("protected must be \(Self.protectedText)")
    }
    let iv = try Self.bytes(object["iv"], "iv", count: 12)
    let tag = try Self.bytes(object["tag"], "tag", count: 16)
    guard let list = object["recipients"]?.array else { throw .malformed("recipients must be a list") }
    guard !list.isEmpty else { throw .noRecipients }
    guard list.count <= Self.maximumRecipients else { throw .tooManyRecipients(limit: Self.maximumRecipients) }
    var entries: [Entry] = []
    var kids: Set<String> = []
    for item in list {
      let entry = try Entry(item)
      guard kids.insert(entry.kid).inserted else { throw .repeatedRecipient(kid: entry.kid) }
      entries.append(entry)
    }
    guard entries.count(where: { $0.scheme.epoch != nil }) <= 1 else { throw .severalNetworkKeys }
    self.init(iv: iv, tag: tag, entries: entries)
  }

  fileprivate static func members(
    _ json: JSONValue?, of place: String, required: [String], optional: [String] = []
  ) throws(EnvelopeError) -> JSONObject {
    guard let object = json?.object else { throw .malformed("\(place) must be an object") }
    for name in required where !object.contains(name) { throw .malformed("\(place) lacks \(name)") }
    for name in object.names where !required.contains(name) && !optional.contains(name) {
      throw .malformed("\(place) has an unknown member")
    }
    return object
  }

  fileprivate static func bytes(_ json: JSONValue?, _ name: String, count: Int) throws(EnvelopeError) -> [UInt8] {
    guard let bytes = json?.string.flatMap({ Base64.decode($0) }), bytes.count == count else {
      throw .malformed("\(name) must be \(count) bytes in base64url without padding")
    }
    return bytes
  }
}

extension JWEEnvelope.Entry {
  fileprivate init(_ json: JSONValue) throws(EnvelopeError) {
    let object = try JWEEnvelope.members(json, of: "a recipient", required: ["header", "encrypted_key"])
    let header = try JWEEnvelope.members(
      object["header"], of: "header", required: ["kid", "epk", "derivationScheme"], optional: ["epoch"])
    _ = try JWEEnvelope.bytes(header["kid"], "kid", count: 32)
    _ = try JWEEnvelope.members(header["epk"], of: "epk", required: ["kty", "crv", "x"])
    guard let epk = header["epk"], case .x25519(let ephemeralKey)? = PublicJWK(epk) else {
      throw .malformed("epk must be an X25519 public key")
    }
    guard let scheme = EnvelopeRecipient.Scheme(header) else {
      throw .malformed("derivationScheme must be protocolPath, didKey, or protocolContext with its epoch")
    }
    self.init(
      kid: header["kid"]?.string ?? "", scheme: scheme, ephemeralKey: ephemeralKey,
      encryptedKey: try JWEEnvelope.bytes(object["encrypted_key"], "encrypted_key", count: 40))
  }
}

extension EnvelopeRecipient.Scheme {
  /// `epoch` is there exactly for a network key, also when it is 0.
  fileprivate init?(_ header: JSONObject) {
    switch header["derivationScheme"]?.string {
    case "protocolPath" where !header.contains("epoch"): self = .protocolPath
    case "didKey" where !header.contains("epoch"): self = .didKey
    case "protocolContext":
      guard let epoch = KeyEpoch(header["epoch"]) else { return nil }
      self = .protocolContext(epoch)
    default: return nil
    }
  }
}
