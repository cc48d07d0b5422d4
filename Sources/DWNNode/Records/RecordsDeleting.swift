import DWN
import Identity
import Wire

/// Ends a record with a RecordsDelete (dwn-server 4). A delete beats every write, also a newer one.
struct RecordsDeleting {
  let tenant: DID
  let transaction: any MessageTransaction
  let definitions: DefinitionCache

  func reply(to signed: SignedMessage, json: String) throws -> Reply {
    guard case .recordsDelete(let request) = signed.message.body else {
      throw DWNError(400, "SchemaValidatorFailure", "not a RecordsDelete")
    }
    let record = request.recordID
    let prune = request.prune
    let stored = try transaction.messages(of: record)
    guard let initial = stored.first(where: { $0.content?.isInitial == true }), let place = initial.place else {
      return .refused(404, "Not Found")
    }
    if let earlier = stored.first(where: { $0.kind == .delete }),
      try !wins(signed, prune: prune, over: earlier)
    {
      return .refused(409, "Conflict")
    }
    let admission = try admission(of: signed, request, initial: initial, place: place)

    let newestWrite = stored.filter { $0.kind == .write }.max { $1.isNewer(than: $0) }
    for earlier in stored {
      if earlier.cid == initial.cid || earlier.cid == newestWrite?.cid {
        try transaction.demote(earlier)
      } else {
        try transaction.remove(earlier)
      }
    }
    if prune { try transaction.erase(below: place.contextID, includingRecord: false) }
    var tombstone = StoredMessage(
      kind: .delete, cid: signed.message.cid.text, element: signed.element, author: signed.author,
      timestamp: signed.message.timestamp, json: json, protocolURI: initial.protocolURI, place: place,
      ended: try newestWrite.map { write in
        StoredMessage.Ended(
          isPublished: write.isPublished, datePublished: write.datePublished, tags: try write.tags())
      }, isLatest: true)
    tombstone.note(admission)
    try transaction.insert(tombstone, data: nil)
    return .accepted
  }

  private func wins(_ signed: SignedMessage, prune: Bool, over earlier: StoredMessage) throws -> Bool {
    if earlier.element == signed.element { return false }
    let earlierPrune = try earlier.message()["descriptor"]?["prune"]?.bool ?? false
    if prune != earlierPrune { return prune }
    if signed.message.timestamp != earlier.timestamp { return signed.message.timestamp > earlier.timestamp }
    return signed.message.cid.text > earlier.cid
  }

  private func admission(
    of signed: SignedMessage, _ request: RecordsDelete, initial: StoredMessage, place: StoredMessage.Place
  ) throws -> Admission {
    let grants = GrantRules(tenant: tenant, reader: transaction)
    func check(_ grant: PermissionGrant) throws {
      try grant.checkDelete(initial.protocolURI, place.path, place.contextID)
    }
    let carried = try grants.carried(by: signed)
    if let carried { try check(carried) }
    let rules = { try definitions.rules(of: initial.protocolURI, at: signed.message.timestamp, in: transaction) }
    if signed.isTenants(tenant, in: transaction, by: try rules(), at: place.contextID) {
      return Admission(share: .tenant, grantID: carried?.id)
    }
    if let id = request.permissionGrantID {
      try grants.check(id, for: signed, of: initial.protocolURI, check)
      return Admission(share: .member, grantID: id)
    }
    let ofOthers: RecordAction = request.prune ? .coPrune : .coDelete
    let ofOwn: RecordAction = request.prune ? .prune : .delete
    try rules().authorize(
      signed.author, role: signed.payload.protocolRole,
      to: signed.author == initial.author ? [ofOwn, ofOthers] : [ofOthers],
      on: RecordRules.Subject(
        path: place.path, contextID: place.contextID, recipient: place.recipient, chainEnd: place.contextID))
    return Admission(share: .member, grantID: carried?.id)
  }
}
