import DWN
import Identity
import Wire

/// When a tenant deleted grants of which an export has no more than the first write. Looked for before the messages are admitted: what
/// was written by a grant stands before its delete.
///
/// Only what the tenant signed counts, so whoever made the file can put no end to a grant that is in force, and there are no more of them
/// than the tenant ever gave. Deletes by others in the tenant's name count once they were admitted.
enum GrantDeletes {
  /// Of a file that need not be an export to its end: whoever admits it says what is wrong with it.
  static func collected(from lines: ZstdLines, of tenant: DID, _ resolver: DIDDocuments) -> [RecordID: WallTime] {
    var grants: Set<RecordID> = []
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
        guard grants.contains(delete.recordID), isSigned(claimed) else { continue }
        deletes[delete.recordID] = min(deletes[delete.recordID] ?? message.timestamp, message.timestamp)
      } else if let write = try? RecordsWrite(unverified: claimed), write.isInitial, write.isGrant, isSigned(claimed) {
        grants.insert(write.recordID)
      }
    }
    return deletes
  }
}

extension RecordsWrite {
  fileprivate var isGrant: Bool { protocolURI == PermissionsProtocol.uri && path == PermissionsProtocol.grant }
}
