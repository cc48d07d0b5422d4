import DWN
import Identity
import Wire

/// What a write finds in the store, and whether it fits there: steps 1 to 4 of dwn-server 3.2, which come before anybody asks who
/// signed it.
struct RecordStanding {
  enum Verdict {
    /// Stored already.
    case known
    case fits(RecordStanding)
  }

  /// Writes and deletes of the record.
  let stored: [StoredMessage]
  /// The first write of the record.
  let initial: StoredMessage?
  /// This very message, which waits for its data.
  let twin: StoredMessage?
  /// `nil` for a record with an audience's key.
  let rules: RuleSet?

  /// Whether the record is there for others: it has a write with its data, or a delete.
  var isShown: Bool { stored.contains(where: \.isLatest) }

  /// Throws status 400.
  static func of(
    _ arrival: ArrivingWrite, _ tenant: DID, _ reader: any MessageReader, _ definitions: DefinitionCache,
    _ limits: NodeLimits
  ) throws -> Verdict {
    let write = arrival.write
    let stored = try reader.messages(of: write.recordID)
    // Stored byte for byte, or but for what a signature leaves open.
    let twin = stored.first { $0.cid == write.cid.text } ?? stored.first { $0.element == write.signed.element }
    if let twin, !completes(arrival, twin, among: stored) { return .known }

    let initial = stored.first { $0.content?.isInitial == true }
    // The same first write, signed once more in another spelling: a record has one. Earlier versions of the program took several.
    if write.isInitial, twin == nil, initial != nil, reader.ended == nil { return .known }
    guard write.isInitial || initial != nil else {
      throw DWNError(
        400, "RecordsWriteGetInitialWriteNotFound",
        "the first write of \(write.recordID) is not here: send it before this")
    }
    let definition = try definitions.definition(of: write.protocolURI, at: write.timestamp, in: reader)
    var rules: RuleSet?
    if !write.path.isControl {
      rules = try ReferentialIntegrity(
        tenant: tenant, reader: reader, definition: definition, definitions: definitions, isStrict: limits.isStrict
      ).check(write, initial: initial)
    }
    return .fits(RecordStanding(stored: stored, initial: initial, twin: twin, rules: rules))
  }

  /// The answer to a write whose signatures do not hold: by what is stored, something else may be wrong with it.
  static func refusal(
    of arrival: ArrivingWrite, unauthenticated: DWNError, _ tenant: DID, _ reader: any MessageReader,
    _ definitions: DefinitionCache, _ limits: NodeLimits
  ) throws -> Reply {
    if case .known = try of(arrival, tenant, reader, definitions, limits) { return Reply(.init(409, "Conflict")) }
    return Reply(unauthenticated)
  }

  /// A first write that came without its data waits for it; and so does what stands for its record and lost its data to the disk.
  private static func completes(_ arrival: ArrivingWrite, _ twin: StoredMessage, among stored: [StoredMessage]) -> Bool
  {
    guard arrival.hasData, !twin.hasData, twin.kind == .write, twin.author == arrival.write.author else { return false }
    return twin.isLatest || (arrival.write.isInitial && stored.count == 1 && stored[0].cid == twin.cid)
  }
}
