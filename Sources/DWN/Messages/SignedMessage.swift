import Cryptography
public import Identity
import Wire

/// A message whose CIDs hold and whose one signature verifies with the key of the author's DID.
///
/// That is all it says: whether the author may write this, and where it belongs, is for those who use it. Node and mesh both
/// start from here (`docs/architecture.md`, "One record").
public struct SignedMessage: Hashable, Sendable {
  public let message: Message
  public let author: DID
  public let payload: SignaturePayload
  /// base64url of SHA-256 over the ASCII of the signed payload: names the message in a mesh's live set, and is the same for two
  /// messages that differ in a malleable byte.
  public let element: String

  /// Checks everything that a message proves by itself.
  ///
  /// Throws 400 for form and CIDs and 401 for the signature.
  public init(checking message: Message, resolver: some DIDResolver) throws(DWNError) {
    guard let authorization = message.json["authorization"]?.object else {
      throw DWNError(401, "AuthenticateJwsMissing", "the message is not signed")
    }
    guard authorization.count == 1, let signature = authorization["signature"] else {
      throw DWNError(
        400, "SchemaValidatorAdditionalPropertyNotAllowed",
        "authorization must have exactly the member \"signature\": grants and owner signatures are not supported")
    }
    let jws: GeneralJWS
    do { jws = try GeneralJWS(signature) } catch { throw .schema(error.description) }
    guard jws.signatures.count == 1 else {
      throw DWNError(400, "AuthenticationMoreThanOneSignatureNotSupported", "a message has exactly one signature")
    }
    let payload = try SignaturePayload(parsing: jws.payloadBytes, of: message.kind)
    guard payload.descriptorCID == message.descriptorCID.text else {
      throw DWNError(
        400, "AuthenticateDescriptorCidMismatch", "the signed descriptorCid is not that of the descriptor")
    }
    if message.kind == .recordsWrite {
      try SignedMessage.checkWrite(message, payload)
    }
    do {
      self.author = try jws.verify(with: resolver)[0]
    } catch {
      throw DWNError(401, error.code, error.description)
    }
    self.message = message
    self.payload = payload
    self.element = Base64.encode(SHA2.sha256(Array(jws.payload.utf8)))
  }

  /// For a message that was signed a moment ago by this process: checks its form, and spares the verification.
  init(signing json: JSONObject, author: DID, payload: SignaturePayload) throws(DWNError) {
    let message = try Message(.object(json))
    self.message = message
    self.author = author
    self.payload = payload
    let text = json["authorization"]?["signature"]?["payload"]?.string ?? ""
    self.element = Base64.encode(SHA2.sha256(Array(text.utf8)))
  }

  private static func checkWrite(_ message: Message, _ payload: SignaturePayload) throws(DWNError) {
    guard message.json["recordId"]?.string == payload.recordID else {
      throw DWNError(
        400, "RecordsWriteValidateIntegrityRecordIdUnauthorized", "recordId differs from the signed payload")
    }
    guard let contextID = payload.contextID, message.json["contextId"]?.string == contextID else {
      throw DWNError(
        400, "RecordsWriteValidateIntegrityContextIdNotInSignerSignaturePayload",
        "contextId differs from the signed payload")
    }
    let encryption = message.json["encryption"]
    guard encryption == nil || encryption?.object != nil else { throw .schema("encryption must be an object") }
    guard encryption.map({ CID(of: $0).text }) == payload.encryptionCID else {
      throw DWNError(
        400, "RecordsWriteValidateIntegrityEncryptionCidMismatch",
        "encryptionCid is not that of the encryption member, or one is there without the other")
    }
  }
}
