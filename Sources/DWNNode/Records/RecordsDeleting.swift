import DWN
import Identity
import Wire

/// Ends a record with a RecordsDelete (dwn-server 4). A delete beats every write, also a newer one.
struct RecordsDeleting {
  let tenant: DID
  let transaction: any MessageTransaction
  let definitions: DefinitionCache

  func outcome(of signed: SignedMessage, json: String) throws -> Outcome {
    let descriptor = signed.message.descriptor
    guard let record = descriptor["recordId"]?.string.flatMap({ RecordID($0) }), let prune = descriptor["prune"]?.bool
    else {
      throw DWNError(400, "SchemaValidatorFailure", "a RecordsDelete has recordId and prune")
    }
    let stored = try transaction.messages(of: record)
    guard let initial = stored.first(where: { $0.content?.isInitial == true }), let place = initial.place else {
      return .refused(404, "Not Found")
    }
    if let earlier = stored.first(where: { $0.kind == .delete }),
      try !wins(signed, prune: prune, over: earlier)
    {
      return .refused(409, "Conflict")
    }
    try authorize(signed, prune: prune, initial: initial, place: place)

    let newestWrite = stored.filter { $0.kind == .write }.max { $1.isNewer(than: $0) }
    for earlier in stored {
      if earlier.cid == initial.cid || earlier.cid == newestWrite?.cid {
        try transaction.demote(earlier)
      } else {
        try transaction.remove(earlier)
      }
    }
    var hints = prune ? try transaction.erase(below: place.contextID, includingRecord: false) : []
    let tombstone = StoredMessage(
      kind: .delete, cid: signed.message.cid.text, element: signed.element, author: signed.author,
      timestamp: signed.message.timestamp, json: json, protocolURI: initial.protocolURI, place: place,
      ended: try newestWrite.map { write in
        StoredMessage.Ended(
          isPublished: write.isPublished, datePublished: write.datePublished, tags: try write.tags())
      }, isLatest: true)
    try transaction.insert(tombstone, data: nil)
    hints.insert(tombstone.hint)
    return .accepted(hints)
  }

  private func wins(_ signed: SignedMessage, prune: Bool, over earlier: StoredMessage) throws -> Bool {
    if earlier.element == signed.element { return false }
    let earlierPrune = try earlier.message()["descriptor"]?["prune"]?.bool ?? false
    if prune != earlierPrune { return prune }
    if signed.message.timestamp != earlier.timestamp { return signed.message.timestamp > earlier.timestamp }
    return signed.message.cid.text > earlier.cid
  }

  private func authorize(
    _ signed: SignedMessage, prune: Bool, initial: StoredMessage, place: StoredMessage.Place
  ) throws {
    guard signed.author != tenant else { return }
    let ofOthers: RecordAction = prune ? .coPrune : .coDelete
    let ofOwn: RecordAction = prune ? .prune : .delete
    let definition = try definitions.definition(
      of: initial.protocolURI, at: signed.message.timestamp, in: transaction)
    try RecordRules(reader: transaction, definition: definition).authorize(
      signed.author, role: signed.payload.protocolRole,
      to: signed.author == initial.author ? [ofOwn, ofOthers] : [ofOthers],
      on: RecordRules.Subject(
        path: place.path, contextID: place.contextID, recipient: place.recipient, chainEnd: place.contextID))
  }
}
