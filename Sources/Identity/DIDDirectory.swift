/// Turns a DID into its document at once, asking nobody: what verification is done with.
public protocol DIDResolver: Sendable {
  func resolve(_ did: DID) throws(DIDError) -> DIDDocument
}

/// Turns a DID into its document, and may have to fetch it.
///
/// Verification itself never waits. Whoever needs DIDs that must be fetched asks a directory for the documents first, and
/// verifies with the `DIDDocuments` that come.
public protocol DIDDirectory: Sendable {
  func document(of did: DID) async throws(DIDError) -> DIDDocument
}

extension DIDDirectory {
  /// What became of each of the DIDs, asked for at the same time. Those that the DID itself gives cost no waiting.
  public func documents(of dids: Set<DID>) async -> DIDDocuments {
    var documents = DIDDocuments()
    let foreign = dids.filter { !OfflineResolver.carriesKeys($0) }
    guard !foreign.isEmpty else { return documents }
    await withTaskGroup(of: (DID, Result<DIDDocument, DIDError>).self) { group in
      for did in foreign {
        group.addTask {
          do throws(DIDError) {
            return (did, .success(try await document(of: did)))
          } catch {
            return (did, .failure(error))
          }
        }
      }
      for await (did, result) in group { documents[did] = result }
    }
    return documents
  }
}

/// For whom documents are asked for, so that a directory lets nobody have all that it fetches side by side.
public enum DocumentAsker {
  /// The network that somebody's message came from; `nil` for what is asked for on this machine.
  @TaskLocal public static var network: UInt128?
}

/// Documents that have been fetched, or the reasons why they were not. A DID that is not among them is resolved offline.
public struct DIDDocuments: DIDResolver {
  private var results: [DID: Result<DIDDocument, DIDError>] = [:]

  public init() {}

  public subscript(did: DID) -> Result<DIDDocument, DIDError>? {
    get { results[did] }
    set { results[did] = newValue }
  }

  public func resolve(_ did: DID) throws(DIDError) -> DIDDocument {
    guard let result = results[did] else { return try OfflineResolver().resolve(did) }
    return try result.get()
  }
}

/// Resolves the methods whose DIDs carry their keys, `did:jwk` and `did:key`. It asks nobody.
public struct OfflineResolver: DIDResolver, DIDDirectory {
  private static let methods: Set<String> = ["jwk", "key"]

  public init() {}

  /// Whether nobody needs to be asked for the DID's document.
  public static func carriesKeys(_ did: DID) -> Bool { methods.contains(String(did.method)) }

  public func resolve(_ did: DID) throws(DIDError) -> DIDDocument {
    switch did.method {
    case "jwk": try JWKMethod.resolve(did)
    case "key": try KeyMethod.resolve(did)
    default: throw .unsupportedMethod(String(did.method))
    }
  }

  public func document(of did: DID) async throws(DIDError) -> DIDDocument { try resolve(did) }
}
