import Cryptography
public import Identity
import Wire

/// A message with the names on its signatures, none of which has been verified: everything about it that can be wrong without
/// asking anybody for a key has been checked, with status 400.
///
/// What may contradict the state of a node is compared before signatures are, so a node needs the names first. Nobody else does:
/// `SignedMessage` is the type to rely on.
public struct ClaimedMessage: Hashable, Sendable {
  /// Which forms of authorship are taken.
  public enum Admission: Hashable, Sendable {
    /// The author's own signature and nothing beside it: what the records of a mesh have.
    case authorAlone
    /// Also grants that are carried along, signatures of owners, and attestations.
    case everyForm
  }

  /// A tenant's signature under somebody else's record.
  public struct Owner: Hashable, Sendable {
    public let signer: DID
    public let payload: SignaturePayload
    public let grant: DelegatedGrant?
    let jws: GeneralJWS

    /// The signer, or who let the signer act in their name.
    public var did: DID { grant?.grantor ?? signer }
  }

  public let message: Message
  /// Who signed.
  public let signer: DID
  public let payload: SignaturePayload
  /// By which the signer acts for somebody else.
  public let authorGrant: DelegatedGrant?
  public let owner: Owner?
  /// A third party that vouches for a write.
  public let attester: DID?
  /// base64url of SHA-256 over the ASCII of the signed payload: see `SignedMessage`.
  public let element: String
  let jws: GeneralJWS
  private let attestation: GeneralJWS?
  /// What it says as a write, if it is one.
  private(set) var write: RecordsWrite?

  /// The signer, or who let the signer act in their name.
  public var author: DID { authorGrant?.grantor ?? signer }

  /// The DIDs whose keys it takes to verify every signature.
  public var signers: Set<DID> {
    var dids: Set<DID> = [signer]
    if let attester { dids.insert(attester) }
    if let owner { dids.insert(owner.signer) }
    for grant in [authorGrant, owner?.grant] {
      if let grant { dids.insert(grant.grantor) }
    }
    return dids
  }

  /// Throws 400 for whatever the message contradicts in itself, and 401 if it is not signed at all.
  public init(_ message: Message, admitting admission: Admission = .authorAlone) throws(DWNError) {
    guard let value = message.json["authorization"] else {
      throw DWNError(401, "AuthenticateJwsMissing", "the message is not signed")
    }
    var members = try MemberReader(value, at: "authorization.")
    let signature = try members.optional("signature", "a JWS") { $0 }
    var grants: (author: DelegatedGrant?, owner: DelegatedGrant?)
    var ownerSignature: JSONValue?
    if admission == .everyForm {
      if message.kind.interface != "Messages" {
        grants.author = try members.optional("authorDelegatedGrant", "a grant") { json throws(DWNError) in
          try DelegatedGrant(json)
        }
      }
      if message.kind == .recordsWrite {
        ownerSignature = try members.optional("ownerSignature", "a JWS") { $0 }
        grants.owner = try members.optional("ownerDelegatedGrant", "a grant") { json throws(DWNError) in
          try DelegatedGrant(json)
        }
      }
    }
    try members.end()
    guard let signature else {
      if ownerSignature != nil { throw .schema("authorization has an ownerSignature and no signature") }
      throw DWNError(401, "AuthenticateJwsMissing", "the message is not signed")
    }
    let (jws, signer) = try Self.soleSignature(signature)
    let payload = try SignaturePayload(parsing: jws.payloadBytes, of: .author(message.kind))
    try Self.checkDescriptor(message, payload.descriptorCID)
    try GrantInvocation.check(message.body, payload)
    try DelegatedGrant.check(grants.author, named: payload.delegatedGrantID, signer: signer, party: "Author")

    var owner: Owner?
    if let ownerSignature {
      let (jws, signer) = try Self.soleSignature(ownerSignature)
      let payload = try SignaturePayload(parsing: jws.payloadBytes, of: .owner)
      try Self.checkDescriptor(message, payload.descriptorCID)
      owner = Owner(signer: signer, payload: payload, grant: grants.owner, jws: jws)
    }
    try DelegatedGrant.check(
      grants.owner, named: owner?.payload.delegatedGrantID, signer: owner?.signer ?? signer, party: "Owner")

    self.message = message
    self.signer = signer
    self.payload = payload
    self.authorGrant = grants.author
    self.owner = owner
    self.jws = jws
    self.element = Base64.encode(SHA2.sha256(Array(jws.payload.utf8)))
    (attestation, attester) = try Attestation.read(message, payload, admission)
    if message.kind == .recordsWrite {
      try Self.checkWrite(message, payload, isOwned: owner != nil)
      write = try RecordsWrite(SignedMessage(believing: self))
    }
  }

  /// Throws 401 unless every signature is that of its signer, also those of the grants that the message carries.
  func verify(with resolver: some DIDResolver) throws(DWNError) {
    for signature in [jws, owner?.jws, attestation, authorGrant?.jws, owner?.grant?.jws] {
      do { _ = try signature?.verify(with: resolver) } catch { throw DWNError(401, error.code, error.description) }
    }
  }

  /// The one signature of a JWS, and who it says it is by.
  static func soleSignature(_ json: JSONValue) throws(DWNError) -> (GeneralJWS, DID) {
    let jws: GeneralJWS
    do { jws = try GeneralJWS(json) } catch { throw .schema(error.description) }
    guard jws.signatures.count == 1 else {
      throw DWNError(400, "AuthenticationMoreThanOneSignatureNotSupported", "a message has exactly one signature")
    }
    guard let signer = jws.signatures[0].signer else {
      let error: JWSError = jws.signatures[0].kid.map { .keyNotFound(kid: $0) } ?? .missingKid
      throw DWNError(401, error.code, error.description)
    }
    return (jws, signer)
  }

  private static func checkDescriptor(_ message: Message, _ cid: String) throws(DWNError) {
    guard cid == message.descriptorCID.text else {
      throw DWNError(
        400, "AuthenticateDescriptorCidMismatch", "the signed descriptorCid is not that of the descriptor")
    }
  }

  private static func checkWrite(
    _ message: Message, _ payload: SignaturePayload, isOwned: Bool
  ) throws(DWNError) {
    guard message.json["recordId"]?.string == payload.recordID else {
      throw DWNError(
        400, "RecordsWriteValidateIntegrityRecordIdUnauthorized", "recordId differs from the signed payload")
    }
    guard let contextID = payload.contextID, message.json["contextId"]?.string == contextID else {
      throw DWNError(
        400, "RecordsWriteValidateIntegrityContextIdNotInSignerSignaturePayload",
        "contextId differs from the signed payload")
    }
    if let encryption = message.json["encryption"]?.object { try EnvelopeForm.check(encryption) }
    // An owner may have encrypted anew. Nobody else adds an envelope to what somebody signed without one.
    if isOwned { return }
    guard message.json["encryption"].map({ CID(of: $0).text }) == payload.encryptionCID else {
      throw DWNError(
        400, "RecordsWriteValidateIntegrityEncryptionCidMismatch",
        "encryptionCid is not that of the encryption member, or one is there without the other")
    }
  }
}
