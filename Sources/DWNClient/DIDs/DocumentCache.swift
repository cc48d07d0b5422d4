import Identity
import Wire

/// Documents that were fetched, and DIDs that gave none, for as long as either counts: a value without I/O, bounded in number and size.
///
/// Failures have a place of their own, so that nobody can push out documents by naming DIDs that do not exist.
struct DocumentCache {
  /// What a DID gave.
  struct Found: Sendable {
    /// The document, or `.deactivated`.
    var result: Result<DIDDocument, DIDError>
    /// Of its packet, if it has one: the greater is the newer.
    var sequence: UInt64?
    /// In bytes, as it came.
    var size: Int
  }

  static let maximumDocuments = 4096
  static let maximumFailures = 4096
  /// Bytes of all documents together.
  static let maximumSize = 16 << 20

  private struct Entry<Value> {
    var value: Value
    var expiry: Instant
    /// A later attempt gave nothing.
    var isSilenced = false
    /// Counts what was asked for: the entry with the least goes first.
    var lastUse: UInt64
  }

  private let lifetime: Duration
  private let failureLifetime: Duration
  private let staleLifetime: Duration
  private var documents: [DID: Entry<Found>] = [:]
  private var failures: [DID: Entry<DIDError>] = [:]
  private var size = 0
  private var uses: UInt64 = 0

  init(lifetime: Duration, failureLifetime: Duration, staleLifetime: Duration = .zero) {
    self.lifetime = lifetime
    self.staleLifetime = staleLifetime
    self.failureLifetime = failureLifetime
  }

  var count: Int { documents.count + failures.count }

  /// What is known of the DID; `nil` if it has to be asked for.
  mutating func result(for did: DID, now: Instant) -> Result<DIDDocument, DIDError>? {
    uses += 1
    if let entry = documents[did], now < entry.expiry {
      documents[did]?.lastUse = uses
      return entry.value.result
    }
    guard let entry = failures[did] else { return nil }
    guard now < entry.expiry else {
      failures[did] = nil
      return nil
    }
    failures[did]?.lastUse = uses
    return .failure(entry.value)
  }

  /// What is used while the DID is asked for anew: what it gave last, if that expired no longer ago than `staleLifetime`, and was not
  /// followed by a failure.
  func stale(for did: DID, now: Instant) -> Result<DIDDocument, DIDError>? {
    guard let entry = documents[did], !entry.isSilenced, now < entry.expiry + staleLifetime else { return nil }
    return entry.value.result
  }

  /// Takes what came, and returns what counts now: of two packets the newer one, whichever came first, so that nobody can bring back
  /// a document that its owner replaced while it is remembered here.
  mutating func take(_ found: Found, for did: DID, now: Instant) -> Result<DIDDocument, DIDError> {
    var newest = found
    if let known = documents[did]?.value, let sequence = known.sequence, sequence > found.sequence ?? 0 {
      newest = known
    }
    failures[did] = nil
    uses += 1
    size += newest.size - (documents[did]?.value.size ?? 0)
    documents[did] = Entry(value: newest, expiry: now + lifetime, lastUse: uses)
    while documents.count > Self.maximumDocuments || size > Self.maximumSize, let least = Self.least(documents) {
      size -= documents.removeValue(forKey: least)?.value.size ?? 0
    }
    return newest.result
  }

  /// Remembers that the DID gave nothing. What it gave before is no longer believed once it has expired.
  mutating func fail(_ error: DIDError, for did: DID, now: Instant) {
    uses += 1
    documents[did]?.isSilenced = true
    failures[did] = Entry(value: error, expiry: now + failureLifetime, lastUse: uses)
    while failures.count > Self.maximumFailures, let least = Self.least(failures) { failures[least] = nil }
  }

  private static func least<Value>(_ entries: [DID: Entry<Value>]) -> DID? {
    entries.min { $0.value.lastUse < $1.value.lastUse }?.key
  }
}
