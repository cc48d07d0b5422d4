import DWN
import Identity
import Wire

/// When a tenant deleted grants, of which an export has no more than the first write, and records that may have given roles. Looked for
/// before the messages are admitted: what was written by a right stands before its delete.
///
/// Only what the tenant signed counts, so whoever made the file can put no end to what is in force, and there are no more of them than the
/// tenant ever gave. Deletes by others in the tenant's name count once they were admitted.
enum EndingDeletes {
  /// Of a file that need not be an export to its end: whoever admits it says what is wrong with it.
  static func collected(from lines: ZstdLines, of tenant: DID, _ resolver: DIDDocuments) -> [RecordID: WallTime] {
    // By their hashes: what is kept of two that have the same is looked up by its id.
    var rights: Set<Int> = []
    var deletes: [RecordID: WallTime] = [:]
    func isSigned(_ claimed: ClaimedMessage) -> Bool {
      guard let signed = try? SignedMessage(verifying: claimed, resolver: resolver) else { return false }
      return signed.author == tenant && signed.signer == tenant
    }
    while let line = try? lines.next() {
      guard !line.starts(with: #"{"data":"#.utf8), case .message(let entry)? = ExportLine(line),
        case .none = entry.content, let message = try? Message(entry.message),
        let claimed = try? ClaimedMessage(message, admitting: .everyForm)
      else { continue }
      if case .recordsDelete(let delete) = message.body {
        guard rights.contains(delete.recordID.hashValue), isSigned(claimed) else { continue }
        deletes[delete.recordID] = min(deletes[delete.recordID] ?? message.timestamp, message.timestamp)
      } else if let write = try? RecordsWrite(unverified: claimed), write.isInitial, write.recipient != nil,
        !write.isGrant || isSigned(claimed)
      {
        rights.insert(write.recordID.hashValue)
      }
    }
    return deletes
  }
}

extension RecordsWrite {
  fileprivate var isGrant: Bool { protocolURI == PermissionsProtocol.uri && path == PermissionsProtocol.grant }
}
