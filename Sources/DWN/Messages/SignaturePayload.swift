public import Wire

/// What a message's author signs: the descriptor's CID and what lies outside the descriptor (dwn-messages 4.2).
public struct SignaturePayload: Hashable, Sendable {
  public var descriptorCID: String
  public var recordID: String?
  public var contextID: String?
  public var attestationCID: String?
  public var encryptionCID: String?
  /// Message CID of the grant that the message carries.
  public var delegatedGrantID: String?
  public var permissionGrantID: String?
  public var permissionGrantIDs: [String]?
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
    object["attestationCid"] = attestationCID.map { .string($0) }
    object["encryptionCid"] = encryptionCID.map { .string($0) }
    object["delegatedGrantId"] = delegatedGrantID.map { .string($0) }
    object["permissionGrantId"] = permissionGrantID.map { .string($0) }
    object["permissionGrantIds"] = permissionGrantIDs.map { .array($0.map { .string($0) }) }
    object["protocolRole"] = protocolRole.map { .string($0) }
    return .object(object)
  }

  /// Whose signature it is. An owner signs the general form, whatever the message.
  enum Form {
    case author(Message.Kind)
    case owner
  }

  /// Unknown members are refused; which are allowed depends on the kind of message. Throws status 400.
  init(parsing bytes: [UInt8], of form: Form) throws(DWNError) {
    guard let object = (try? JSONValue(parsing: bytes, depth: 4))?.object else {
      throw DWNError(400, "JwsDecodePlainObjectPayloadInvalid", "the signature payload is not a JSON object")
    }
    if object.contains("permissionGrantId"), object.contains("permissionGrantIds") {
      throw DWNError(
        400, "MessagePermissionGrantValidateInvocationAmbiguous",
        "the signature payload names grants in the singular and in the plural")
    }
    var members = MemberReader(object, at: "the signature payload's ")
    func text(_ name: String) throws(DWNError) -> String? { try members.optional(name, "text") { $0.string } }
    descriptorCID = try members.required("descriptorCid", "text") { $0.string }
    delegatedGrantID = try text("delegatedGrantId")
    var interface = "Records"
    if case .author(let kind) = form { interface = kind.interface }
    if case .author(.recordsWrite) = form {
      recordID = try members.required("recordId", "text") { $0.string }
      contextID = try text("contextId")
      attestationCID = try text("attestationCid")
      encryptionCID = try text("encryptionCid")
    }
    if interface == "Messages" {
      permissionGrantIDs = try members.optional("permissionGrantIds", "a list of ids of grants") {
        json throws(DWNError) in try GrantInvocation.list(json)?.map(\.text)
      }
    } else {
      permissionGrantID = try text("permissionGrantId")
    }
    if interface == "Records" { protocolRole = try text("protocolRole") }
    try members.end()
  }
}
