import DWN
import Identity
import Wire

/// Rights that ended, as far as a tenant's messages still tell of them. For messages of an earlier time that come again they count as
/// they did then.
struct EndedRights {
  let messages: SQLiteMessages
  /// When the tenant deleted a grant or a role, as far as the export says that, before or behind the message that is looked at.
  let deletes: [RecordID: WallTime]
  let passing: PassingRoles

  /// Whether somebody was given a role below one parent and still had it at a time, whatever became of it later.
  func hadRole(_ place: SiblingPlace, _ holder: DID, at time: WallTime) throws -> Bool {
    let isKnown = try messages.fetch(
      "recipient = ? AND \(SQLiteMessages.atPlace) AND is_initial AND kind = 'write'",
      [holder.text] + SQLiteMessages.values(place)
    ).contains { try !hasEnded($0, before: time) }
    return try isKnown || mayHaveGivenWay(place, after: time)
  }

  /// Whether a role's record may have been there at a time of which there is no trace now.
  private func mayHaveGivenWay(_ place: SiblingPlace, after time: WallTime) throws -> Bool {
    guard let successors = passing.successors(at: place) else { return false }
    let earliest = time + (.zero - Self.clockTolerance)
    return try !messages.fetch(
      "\(SQLiteMessages.atPlace) AND \(successors) AND timestamp >= ? LIMIT 1",
      SQLiteMessages.values(place) + [earliest.timestamp], index: "message_siblings"
    ).isEmpty
  }

  /// What clocks of two machines may differ by (`trust.md` 3).
  private static let clockTolerance: Duration = .seconds(300)

  /// Whether a record was deleted before a time. What is a little younger than the delete may have come before it, by a clock that is
  /// ahead; it gives nothing away, as whoever wants to can name an earlier time.
  func hasEnded(_ record: StoredMessage, before time: WallTime) throws -> Bool {
    guard let id = record.place?.recordID else { return false }
    return try end(of: id, among: messages.messages(of: id)).map { $0 + Self.clockTolerance < time } ?? false
  }

  private func end(of id: RecordID, among stored: [StoredMessage]) -> WallTime? {
    (stored.filter { $0.kind == .delete }.map(\.timestamp) + [deletes[id]].compactMap(\.self)).min()
  }

  /// Whether an audience had a record for this key.
  func hadAudience(_ name: AudienceName, keyID: String) throws -> Bool {
    let place = SiblingPlace(protocolURI: name.protocolURI, path: EncryptionControl.audience)
    return try messages.fetch(
      "\(SQLiteMessages.atPlace) AND is_initial AND json_extract(json, '$.descriptor.tags.keyId') = ?",
      SQLiteMessages.values(place) + [keyID], index: "message_siblings"
    ).contains { try $0.tags().flatMap { AudienceName($0) } == name }
  }

  /// What is left of a grant that was deleted, or of the earlier forms of one that was changed: up to then. Of any other the data is
  /// there, or nobody has ever had a right by it.
  func grant(_ id: RecordID) throws -> EndedGrant? {
    let stored = try messages.messages(of: id)
    let changed = stored.filter { $0.content?.isInitial == false }.map(\.timestamp).max()
    guard let end = end(of: id, among: stored) ?? changed,
      let first = stored.first(where: { $0.content?.isInitial == true }), first.protocolURI == PermissionsProtocol.uri,
      first.place?.path == PermissionsProtocol.grant,
      let grantee = first.place?.recipient
    else { return nil }
    return EndedGrant(
      id: id, grantor: first.author, grantee: grantee, dateGranted: first.timestamp, end: end,
      protocolURI: try first.tags()?["protocol"]?.string)
  }

  /// Whether a record, or one that it hangs below, was deleted: then what was below it may be gone without a trace.
  func isOver(_ context: ContextID?) throws -> Bool {
    try context?.segments.contains { try messages.messages(of: $0).contains { $0.kind == .delete } } ?? false
  }
}

extension MessageReader {
  /// Whether somebody holds a role below one parent; for what comes again from another node, whether he held it then.
  func hasRole(_ place: SiblingPlace, _ holder: DID, at time: WallTime) throws -> Bool {
    guard let ended else { return try roleRecord(place, recipient: holder) != nil }
    return try ended.hadRole(place, holder, at: time)
  }
}

/// What the first write of a grant and its end say by themselves. For how long it was meant to be, and for which methods and paths, its
/// data said.
struct EndedGrant {
  let id: RecordID
  let grantor: DID
  let grantee: DID
  let dateGranted: WallTime
  /// Inclusive: what is as old as the end may have come before it.
  var end: WallTime
  /// `nil` where the grant is for no protocol by name.
  let protocolURI: String?

  /// Whether nothing speaks against its use for a protocol at a time.
  func fits(from grantor: DID, to grantee: DID, for protocolURI: String, at time: WallTime) -> Bool {
    self.grantor == grantor && self.grantee == grantee && dateGranted <= time && time <= end
      && (self.protocolURI ?? protocolURI) == protocolURI
  }
}
