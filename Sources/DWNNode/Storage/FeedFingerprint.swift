import Cryptography
import GRDB
import Wire

/// Names a set of messages: two nodes with the same fingerprint hold the same (dwn-messages 12). It is the XOR of the SHA-256 of their
/// CIDs, so that one that comes or goes changes it without a look at the others. A tenant's row has it as four numbers.
struct FeedFingerprint: Hashable, Sendable {
  private var words = SIMD4<Int64>()

  /// Puts a message in that is not in it, or takes it out.
  mutating func toggle(_ cid: String) {
    var hashed = SIMD4<UInt64>()
    for (index, byte) in SHA2.sha256(Array(cid.utf8)).enumerated() {
      hashed[index / 8] = hashed[index / 8] << 8 | UInt64(byte)
    }
    words ^= SIMD4<Int64>(truncatingIfNeeded: hashed)
  }

  static func of(_ cid: String) -> FeedFingerprint {
    var fingerprint = FeedFingerprint()
    fingerprint.toggle(cid)
    return fingerprint
  }

  var bytes: [UInt8] {
    (0..<4).flatMap { index in
      stride(from: 56, through: 0, by: -8).map { UInt8(truncatingIfNeeded: words[index] >> $0) }
    }
  }
}

extension FeedFingerprint {
  static let question = "SELECT fingerprint0, fingerprint1, fingerprint2, fingerprint3 FROM tenant WHERE id = ?"

  /// An assignment of `UPDATE tenant` that toggles what the parameters 1 to 4 say: SQLite has no XOR.
  static let toggling = (0..<4).map {
    "fingerprint\($0) = (fingerprint\($0) | ?\($0 + 1)) & ~(fingerprint\($0) & ?\($0 + 1))"
  }
  .joined(separator: ", ")

  init(_ row: Row) {
    for index in 0..<4 { words[index] = row[index] }
  }

  var values: [any DatabaseValueConvertible] { (0..<4).map { words[$0] } }

  /// Of every tenant, from its messages.
  static func countAnew(_ database: Database) throws {
    try database.execute(
      sql: "UPDATE tenant SET fingerprint0 = 0, fingerprint1 = 0, fingerprint2 = 0, fingerprint3 = 0")
    var counted: [Int64: FeedFingerprint] = [:]
    let rows = try Row.fetchCursor(database, sql: "SELECT tenant, cid FROM message")
    while let row = try rows.next() { counted[row[0], default: FeedFingerprint()].toggle(row[1]) }
    for (tenant, fingerprint) in counted {
      try database.execute(
        sql: "UPDATE tenant SET \(toggling) WHERE id = ?5", arguments: StatementArguments(fingerprint.values + [tenant])
      )
    }
  }
}
