import DWN
import Wire

/// What the end of a grant takes with it: messages that were let in by the grant and are younger than its revocation, which came
/// later than they did (dwn-server 8.4).
///
/// A record that began so goes with everything below it. Of one that was changed so, its first write stays, and can be written on;
/// what the change replaced is gone. Of a protocol, the definition before comes into force again.
struct RevocationPurge {
  let transaction: any MessageTransaction

  func run(_ grant: RecordID, revoked time: WallTime) throws {
    for message in try transaction.messages(authorizedBy: grant, after: time) {
      if message.content?.isInitial == true, let place = message.place {
        // What the tenant made of it stays, and cannot stand alone.
        guard try !transaction.hasTenants(at: place.contextID, withoutGrant: grant) else { continue }
        try transaction.erase(below: place.contextID, includingRecord: true)
      } else {
        try transaction.remove(message)
        if message.kind == .configure, message.isLatest { try reinstate(message.protocolURI) }
      }
    }
  }

  /// Puts the newest definition that is left in force, as news.
  private func reinstate(_ protocolURI: String) throws {
    guard var definition = try transaction.configure(of: protocolURI), !definition.isLatest else { return }
    try transaction.remove(definition)
    definition.isLatest = true
    definition.queryRules = QueryRules(configure: definition.json)
    try transaction.insert(definition, content: nil)
  }
}
