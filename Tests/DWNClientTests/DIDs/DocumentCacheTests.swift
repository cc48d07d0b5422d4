import Identity
import TestSupport
import Testing
import Wire

@testable import DWNClient

@Suite("What is remembered of DIDs")
struct DocumentCacheTests {
  private let did = DID("did:web:example.com")!

  private func found(_ did: DID, _ mark: String = "", sequence: UInt64? = nil, size: Int = 100) -> DocumentCache.Found {
    var document = DIDDocument(id: did, verificationMethods: [], authentication: [], keyAgreement: [])
    document.alsoKnownAs = [mark]
    return .init(result: .success(document), sequence: sequence, size: size)
  }

  private func cache() -> DocumentCache { DocumentCache(lifetime: .seconds(300), failureLifetime: .seconds(30)) }

  private func at(_ seconds: UInt64) -> Instant { Instant(nanoseconds: 1_000_000_000 * (1000 + seconds)) }

  private func mark(_ result: Result<DIDDocument, DIDError>?) -> String? { try? result?.get().alsoKnownAs.first }

  @Test("a document counts until its time is over, and a failure for a shorter one")
  func lifetimes() {
    var cache = cache()
    #expect(cache.result(for: did, now: at(0)) == nil)
    cache.fail(.unreachable(did, reason: "x"), for: did, now: at(0))
    #expect(cache.result(for: did, now: at(29)) == .failure(.unreachable(did, reason: "x")))
    #expect(cache.result(for: did, now: at(30)) == nil)
    _ = cache.take(found(did, "a"), for: did, now: at(31))
    #expect(mark(cache.result(for: did, now: at(330))) == "a")
    #expect(cache.result(for: did, now: at(331)) == nil)
  }

  @Test("what a DID gave is not believed again because its host went silent")
  func silenced() {
    var cache = cache()
    _ = cache.take(found(did, "a"), for: did, now: at(0))
    cache.fail(.unreachable(did, reason: "x"), for: did, now: at(300))
    #expect(cache.result(for: did, now: at(301)) == .failure(.unreachable(did, reason: "x")))
    #expect(cache.result(for: did, now: at(331)) == nil)
    #expect(mark(cache.take(found(did, "b"), for: did, now: at(331))) == "b")
    #expect(mark(cache.result(for: did, now: at(332))) == "b")
  }

  @Test("of two packets the one with the greater number counts, in whichever order they come")
  func sequences() {
    var cache = cache()
    #expect(mark(cache.take(found(did, "5", sequence: 5), for: did, now: at(0))) == "5")
    #expect(mark(cache.take(found(did, "4", sequence: 4), for: did, now: at(400))) == "5")
    #expect(mark(cache.result(for: did, now: at(401))) == "5")
    #expect(mark(cache.take(found(did, "5 again", sequence: 5), for: did, now: at(800))) == "5 again")
    let end = DocumentCache.Found(result: .failure(.deactivated(did)), sequence: 7, size: 100)
    #expect(cache.take(end, for: did, now: at(1200)) == .failure(.deactivated(did)))
    // An older packet does not bring a DID back that its owner gave up.
    #expect(cache.take(found(did, "6", sequence: 6), for: did, now: at(1600)) == .failure(.deactivated(did)))
  }

  @Test("the number is remembered over failures between two packets")
  func sequenceAfterFailure() {
    var cache = cache()
    _ = cache.take(found(did, "5", sequence: 5), for: did, now: at(0))
    cache.fail(.unreachable(did, reason: "x"), for: did, now: at(400))
    #expect(mark(cache.take(found(did, "4", sequence: 4), for: did, now: at(500))) == "5")
  }

  @Test("beyond the bounds what was asked for longest ago goes first, and failures push out no documents")
  func eviction() throws {
    var cache = cache()
    _ = cache.take(found(did, "kept"), for: did, now: at(0))
    for index in 0..<(DocumentCache.maximumFailures + 50) {
      let other = try #require(DID("did:web:nobody\(index).example"))
      cache.fail(.unreachable(other, reason: "x"), for: other, now: at(1))
    }
    #expect(cache.count == DocumentCache.maximumFailures + 1)
    #expect(mark(cache.result(for: did, now: at(2))) == "kept")
    let first = try #require(DID("did:web:nobody0.example"))
    #expect(cache.result(for: first, now: at(2)) == nil)

    // 64 KiB each: 256 of them fill the 16 MiB.
    let large = try (0..<300).map { try #require(DID("did:web:large\($0).example")) }
    for other in large {
      _ = cache.take(found(other, size: 64 << 10), for: other, now: at(3))
      _ = cache.result(for: did, now: at(3))
    }
    #expect(mark(cache.result(for: did, now: at(4))) == "kept")
    #expect(cache.result(for: large[0], now: at(4)) == nil)
    #expect(cache.result(for: large[299], now: at(4)) != nil)
    #expect(large.count { cache.result(for: $0, now: at(4)) != nil } == 255)
  }
}
