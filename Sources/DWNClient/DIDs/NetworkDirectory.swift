public import Identity
import Synchronization
import Wire

/// Gives the documents of DIDs, and fetches those that a DID does not carry itself: `did:web` from the host that it names, `did:dht`
/// from the gateway of the settings.
///
/// A DID that several ask for at one time is fetched once. What came is remembered for a while, also that nothing came; when a document's
/// time is over it still serves for a while, and is fetched anew meanwhile. Everything is bounded: what a document may take in time and
/// size, what is fetched and what waits side by side, in all, from one site and for one who asks, and what is remembered.
public final class NetworkDirectory: DIDDirectory {
  private struct State {
    var cache: DocumentCache
    var underWay: [DID: Task<Result<DIDDocument, DIDError>, Never>] = [:]
  }

  private let settings: DIDFetchSettings
  private let source: any DocumentSource
  private let now: @Sendable () -> Instant
  private let slots: FetchSlots
  private let state: Mutex<State>

  /// Throws if the system's TLS does not work.
  public convenience init(_ settings: DIDFetchSettings) throws {
    self.init(settings, source: try DocumentFetcher(settings), now: Instant.now)
  }

  init(_ settings: DIDFetchSettings, source: any DocumentSource, now: @escaping @Sendable () -> Instant) {
    self.settings = settings
    self.source = source
    self.now = now
    slots = FetchSlots(settings.concurrency, waiting: settings.waiting)
    state = Mutex(
      State(
        cache: DocumentCache(
          lifetime: settings.lifetime, failureLifetime: settings.failureLifetime, staleLifetime: settings.staleLifetime)
      ))
  }

  public func document(of did: DID) async throws(DIDError) -> DIDDocument {
    switch did.method {
    case "web", "dht": try await known(did).get()
    default: try OfflineResolver().resolve(did)
    }
  }

  private func known(_ did: DID) async -> Result<DIDDocument, DIDError> {
    let (result, isOwn) = await answer(did)
    // That somebody else had no room to ask says nothing of who asks now.
    guard case .failure(.busy) = result, !isOwn else { return result }
    return await answer(did).result
  }

  /// `isOwn`: nobody had asked before.
  private func answer(_ did: DID) async -> (result: Result<DIDDocument, DIDError>, isOwn: Bool) {
    enum Answer {
      case known(Result<DIDDocument, DIDError>)
      case underWay(Task<Result<DIDDocument, DIDError>, Never>, isOwn: Bool)
    }
    let answer = state.withLock { state -> Answer in
      if let task = state.underWay[did] {
        return state.cache.stale(for: did, now: now()).map { .known($0) } ?? .underWay(task, isOwn: false)
      }
      if let result = state.cache.result(for: did, now: now()) { return .known(result) }
      let stale = state.cache.stale(for: did, now: now())
      // Not a part of whoever asked: others may wait for the same, and it ends by itself.
      let task = Task { await self.fetched(did) }
      state.underWay[did] = task
      return stale.map { .known($0) } ?? .underWay(task, isOwn: true)
    }
    switch answer {
    case .known(let result): return (result, true)
    case .underWay(let task, let isOwn): return (await task.value, isOwn)
    }
  }

  private func fetched(_ did: DID) async -> Result<DIDDocument, DIDError> {
    let errand = FetchSlots.Errand(site: Self.site(of: did), asker: DocumentAsker.network)
    let outcome = await slots.run(errand) { () async -> Result<DocumentCache.Found, DIDError> in
      do throws(DIDError) {
        return .success(try await fetch(did))
      } catch {
        return .failure(error)
      }
    }
    return state.withLock { state in
      state.underWay[did] = nil
      switch outcome {
      case nil: return .failure(.busy(did))
      case .success(let found): return state.cache.take(found, for: did, now: now())
      case .failure(.busy): return .failure(.busy(did))
      case .failure(let error):
        state.cache.fail(error, for: did, now: now())
        return .failure(error)
      }
    }
  }

  /// A `did:dht` comes from our own gateway, whatever it names.
  private static func site(of did: DID) -> String? {
    guard did.method == "web" else { return nil }
    return FetchSlots.site(of: did.methodSpecificID.prefix { $0 != ":" && $0 != "%" })
  }

  private func fetch(_ did: DID) async throws(DIDError) -> DocumentCache.Found {
    if did.method == "web" {
      let body = try await body(of: did, at: location(of: did), .json, largest: DIDDocument.maximumSize)
      return .init(result: .success(try WebMethod.document(body, of: did)), sequence: nil, size: body.count)
    }
    _ = try DHTMethod.identityKey(of: did)
    guard let gateway = settings.gateway else {
      throw .unreachable(did, reason: "no gateway for did:dht is set: name one with --did-dht-gateway")
    }
    let url = gateway.text + "/" + did.methodSpecificID
    let packet = try DHTPacket(await body(of: did, at: url, .packet, largest: DHTPacket.maximumSize), of: did)
    let result: Result<DIDDocument, DIDError> = packet.document.map { .success($0) } ?? .failure(.deactivated(did))
    return .init(result: result, sequence: packet.sequence, size: DHTPacket.maximumSize)
  }

  /// Where the method says; but where private hosts are allowed, `localhost` is asked without TLS, as it has no certificate.
  private func location(of did: DID) throws(DIDError) -> String {
    let url = try WebMethod.location(of: did)
    let isOwn = did.methodSpecificID.prefix { $0 != ":" && $0 != "%" }.lowercased() == "localhost"
    return isOwn && settings.allowsPrivateHosts ? "http" + url.dropFirst("https".count) : url
  }

  private func body(
    of did: DID, at url: String, _ kind: DocumentKind, largest: Int
  ) async throws(DIDError) -> [UInt8] {
    do throws(FetchFailure) {
      return try await source.document(at: url, kind, largest: largest)
    } catch {
      throw error.isBusy ? .busy(did) : .unreachable(did, reason: error.reason)
    }
  }
}
