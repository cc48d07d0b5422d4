import Identity
import Synchronization

/// The documents of signers whose DIDs carry their keys, made once for those who write and ask often: the other form of a key
/// that stands in such a document costs as much as the signature that is to be verified.
final class SignerDocuments: Sendable {
  private static let capacity = 1024
  private let known = Mutex<[DID: DIDDocument]>([:])

  /// Adds those of the DIDs that need not be fetched. One that is wrong is left to the verification to refuse.
  func complete(_ documents: DIDDocuments, for dids: Set<DID>) -> DIDDocuments {
    var documents = documents
    for did in dids where documents[did] == nil {
      if let document = document(of: did) { documents[did] = .success(document) }
    }
    return documents
  }

  private func document(of did: DID) -> DIDDocument? {
    if let document = known.withLock({ $0[did] }) { return document }
    guard let document = try? OfflineResolver().resolve(did) else { return nil }
    known.withLock {
      if $0.count >= Self.capacity { $0 = [:] }
      $0[did] = document
    }
    return document
  }
}
