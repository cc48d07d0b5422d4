public import Identity
import Wire

/// Which of several audience records of one name is the current one (`EncryptionControl`): written by the tenant before all others,
/// then the oldest, then the lowest id. Whoever writes encrypts to it, and plain queries show no other.
public struct AudiencePrecedence: Comparable, Hashable, Sendable {
  private let isForeign: Bool
  private let record: (dateCreated: Int64, id: RecordID)

  /// A delegated write counts as its grantor's, who is its author.
  public init(_ write: RecordsWrite, tenant: DID) {
    isForeign = write.author != tenant
    record = (write.dateCreated.microseconds, write.recordID)
  }

  public static func < (a: AudiencePrecedence, b: AudiencePrecedence) -> Bool {
    if a.isForeign != b.isForeign { return b.isForeign }
    return a.record < b.record
  }

  public static func == (a: AudiencePrecedence, b: AudiencePrecedence) -> Bool {
    a.isForeign == b.isForeign && a.record == b.record
  }

  public func hash(into hasher: inout Hasher) {
    hasher.combine(isForeign)
    hasher.combine(record.id)
  }
}
