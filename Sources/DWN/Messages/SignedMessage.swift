import Cryptography
public import Identity
import Wire

/// A message whose CIDs hold and whose signatures verify with the keys of their signers' DIDs.
///
/// That is all it says: whether the author may write this, and where it belongs, is for those who use it. Node and mesh both
/// start from here (`docs/architecture.md`, "One record").
public struct SignedMessage: Hashable, Sendable {
  /// In one place, however many hold it: a mesh has the same message in several tables, of which many places are empty.
  private final class Contents: Sendable {
    let message: Message
    let author: DID
    let signer: DID
    let payload: SignaturePayload
    let authorGrant: DelegatedGrant?
    let owner: ClaimedMessage.Owner?
    let attester: DID?
    let element: String

    init(_ claimed: ClaimedMessage) {
      message = claimed.message
      author = claimed.author
      signer = claimed.signer
      payload = claimed.payload
      authorGrant = claimed.authorGrant
      owner = claimed.owner
      attester = claimed.attester
      element = claimed.element
    }
  }

  private let contents: Contents

  public var message: Message { contents.message }
  /// In whose name it was signed: the signer, or with a grant that the message carries, who gave that grant.
  public var author: DID { contents.author }
  public var signer: DID { contents.signer }
  public var payload: SignaturePayload { contents.payload }
  /// By which the signer acts for the author. Whether it covers this message has not been asked.
  public var authorGrant: DelegatedGrant? { contents.authorGrant }
  public var owner: ClaimedMessage.Owner? { contents.owner }
  /// A third party that vouches for a write.
  public var attester: DID? { contents.attester }
  /// base64url of SHA-256 over the ASCII of the signed payload: names the message in a mesh's live set, and is the same for two
  /// messages that differ in a malleable byte.
  public var element: String { contents.element }

  /// Checks everything that a message proves by itself, and takes the author's own signature alone.
  ///
  /// Throws 400 for form and CIDs and 401 for the signature.
  public init(checking message: Message, resolver: some DIDResolver) throws(DWNError) {
    try self.init(verifying: ClaimedMessage(message), resolver: resolver)
  }

  /// Verifies the signatures. The resolver must know all of `claimed.signers`. Throws 401.
  public init(verifying claimed: ClaimedMessage, resolver: some DIDResolver) throws(DWNError) {
    try claimed.verify(with: resolver)
    self.init(believing: claimed)
  }

  /// For a message that was signed a moment ago by this process: checks its form, and spares the verification.
  init(signing message: Message) throws(DWNError) {
    self.init(believing: try ClaimedMessage(message, admitting: .everyForm))
  }

  /// For what is being looked at before its signatures are.
  init(believing claimed: ClaimedMessage) { contents = Contents(claimed) }

  /// Everything else follows from the message.
  public static func == (a: SignedMessage, b: SignedMessage) -> Bool {
    a.contents === b.contents || a.message == b.message
  }

  public func hash(into hasher: inout Hasher) { hasher.combine(contents.message) }
}
