public import Wire

/// What a message's author signs: the descriptor's CID and what lies outside the descriptor.
public struct SignaturePayload: Hashable, Sendable {
  public var descriptorCID: String
  public var recordID: String?
  public var contextID: String?
  public var encryptionCID: String?
  public var protocolRole: String?

  public init(
    descriptorCID: CID, recordID: RecordID? = nil, contextID: ContextID? = nil, encryptionCID: CID? = nil,
    protocolRole: ProtocolPath? = nil
  ) {
    self.descriptorCID = descriptorCID.text
    self.recordID = recordID?.text
    self.contextID = contextID?.text
    self.encryptionCID = encryptionCID?.text
    self.protocolRole = protocolRole?.text
  }

  /// Compact JSON in the order in which the mesh's other programs write it; absent members are left out.
  public var json: JSONValue {
    var object = JSONObject()
    object["descriptorCid"] = .string(descriptorCID)
    object["recordId"] = recordID.map { .string($0) }
    object["contextId"] = contextID.map { .string($0) }
    object["encryptionCid"] = encryptionCID.map { .string($0) }
    object["protocolRole"] = protocolRole.map { .string($0) }
    return .object(object)
  }

  /// Unknown members are refused; which are allowed depends on the kind of message. Throws status 400.
  init(parsing bytes: [UInt8], of kind: Message.Kind) throws(DWNError) {
    guard let object = (try? JSONValue(parsing: bytes, depth: 4))?.object else {
      throw DWNError(400, "JwsDecodePlainObjectPayloadInvalid", "the signature payload is not a JSON object")
    }
    let isWrite = kind == .recordsWrite
    let allowed: Set<String> =
      isWrite
      ? ["descriptorCid", "recordId", "contextId", "encryptionCid", "protocolRole"] : ["descriptorCid", "protocolRole"]
    for (name, value) in object.members {
      guard allowed.contains(name), value.string != nil else {
        throw DWNError(
          400, "SchemaValidatorAdditionalPropertyNotAllowed",
          "the signature payload has an unexpected member \"\(name)\"")
      }
    }
    guard let descriptorCID = object["descriptorCid"]?.string, !isWrite || object.contains("recordId") else {
      throw .schema("the signature payload lacks descriptorCid or recordId")
    }
    self.descriptorCID = descriptorCID
    self.recordID = object["recordId"]?.string
    self.contextID = object["contextId"]?.string
    self.encryptionCID = object["encryptionCid"]?.string
    self.protocolRole = object["protocolRole"]?.string
  }
}
