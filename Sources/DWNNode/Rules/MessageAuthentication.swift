import DWN
import Identity

/// Who signed a message: asks for the keys of the signers and verifies with them. No transaction waits for this.
struct MessageAuthentication: Sendable {
  private let directory: any DIDDirectory
  private let documents = SignerDocuments()

  init(_ directory: any DIDDirectory) {
    self.directory = directory
  }

  /// Throws status 401, and 503 if there was no room to ask.
  func signed(_ claimed: ClaimedMessage) async throws(DWNError) -> SignedMessage {
    let found = await directory.documents(of: claimed.signers)
    // That nobody was asked says nothing of the signature.
    for signer in claimed.signers {
      guard case .failure(.busy(let did))? = found[signer] else { continue }
      throw DWNError(503, "DidResolutionBusy", DIDError.busy(did).description)
    }
    return try SignedMessage(verifying: claimed, resolver: documents.complete(found, for: claimed.signers))
  }

  /// `nil` for a message that nobody signed.
  func signed(_ claimed: ClaimedMessage?) async throws(DWNError) -> SignedMessage? {
    guard let claimed else { return nil }
    return try await signed(claimed)
  }
}
