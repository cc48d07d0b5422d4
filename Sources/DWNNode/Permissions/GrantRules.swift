import DWN
import Identity
import Wire

/// The grants that a message names or carries: whether they are there, whose they are, and whether they are over (dwn-server 8.2).
/// What they reach is `PermissionGrant`'s to say. Refusals have status 401.
struct GrantRules {
  let tenant: DID
  let reader: any MessageReader

  /// Whether a message's author may change something of a protocol by the tenant's grant that it invokes by its id. `reaches` throws
  /// for what the grant is not for.
  func check(
    _ id: RecordID, for signed: SignedMessage, of protocolURI: String, _ reaches: (PermissionGrant) throws -> Void
  ) throws {
    if let ended = try ended(id),
      ended.fits(from: tenant, to: signed.author, for: protocolURI, at: signed.message.timestamp)
    {
      return
    }
    try reaches(invoked(id, for: signed))
  }

  /// The tenant's grant that a message's author invokes by its id. `moment` stands in for the message's time.
  func invoked(
    _ id: RecordID, for signed: SignedMessage, at moment: WallTime? = nil
  ) throws -> PermissionGrant {
    guard let grant = try stored(id) else { throw missing(id) }
    try grant.check(
      for: signed.message, by: signed.author, from: tenant, revoked: try revocation(of: id, at: moment), at: moment)
    return grant
  }

  /// The grant by which a message's signer speaks in its author's name; `nil` if it speaks in its own.
  func carried(by signed: SignedMessage, at moment: WallTime? = nil) throws -> PermissionGrant? {
    guard let carried = signed.authorGrant else { return nil }
    return try check(carried, by: signed.signer, for: signed.message, at: moment)
  }

  /// The grant by which somebody signs in the tenant's name as owner.
  func carried(by owner: ClaimedMessage.Owner, for message: Message) throws -> PermissionGrant? {
    guard let carried = owner.grant else { return nil }
    return try check(carried, by: owner.signer, for: message, at: nil)
  }

  /// A grant that is in force at a time, whatever it is for and whoever has it.
  func active(_ id: RecordID, at time: WallTime) throws -> PermissionGrant {
    guard let grant = try stored(id) else { throw missing(id) }
    try grant.checkLife(at: time, revoked: try revocation(of: id))
    return grant
  }

  /// The live record of a grant. `nil` if there is none, or no grant.
  func stored(_ id: RecordID) throws -> PermissionGrant? {
    guard let live = try reader.messages(of: id).first(where: \.isLatest), live.kind == .write,
      live.protocolURI == PermissionsProtocol.uri, live.place?.path == PermissionsProtocol.grant,
      let data = try reader.data(of: live)
    else { return nil }
    let claimed = try ClaimedMessage(Message(live.message()), admitting: .everyForm)
    return try PermissionGrant(RecordsWrite(unverified: claimed), data: data)
  }

  /// What is left of a grant that was deleted or changed, up to then or to its earliest revocation. `nil` for all but messages that come
  /// again.
  func ended(_ id: RecordID) throws -> EndedGrant? {
    guard let rights = reader.ended, var grant = try rights.grant(id) else { return nil }
    if let revoked = try revocation(of: id) { grant.end = min(grant.end, revoked) }
    return grant
  }

  /// Revocations of others' grants count as far as they came here.
  private func check(
    _ carried: DelegatedGrant, by signer: DID, for message: Message, at moment: WallTime?
  ) throws -> PermissionGrant {
    let id = carried.grant.id
    guard try reader.ended != nil || !isDeleted(id) else { throw missing(id) }
    let grant = try newerForm(of: carried) ?? carried.grant
    try grant.check(
      for: message, by: signer, from: carried.grantor, revoked: try revocation(of: id, at: moment), at: moment)
    return grant
  }

  /// What a grant became that is carried along as it was. What comes again from another node came by the form of its time.
  private func newerForm(of carried: DelegatedGrant) throws -> PermissionGrant? {
    guard reader.ended == nil,
      let live = try reader.messages(of: carried.grant.id).first(where: { $0.isLatest && $0.kind == .write }),
      live.timestamp > carried.timestamp, live.author == carried.grantor
    else { return nil }
    return try stored(carried.grant.id)
  }

  private func isDeleted(_ id: RecordID) throws -> Bool {
    try reader.messages(of: id).contains { $0.kind == .delete && $0.protocolURI == PermissionsProtocol.uri }
  }

  /// The earliest one. Whoever is shown something now loses the right with it, also by a clock that is ahead.
  private func revocation(of id: RecordID, at moment: WallTime?) throws -> WallTime? {
    try revocation(of: id).map { revoked in moment.map { min($0, revoked) } ?? revoked }
  }

  /// The time of the earliest one.
  private func revocation(of id: RecordID) throws -> WallTime? {
    try reader.children(of: id).filter { child in
      child.isLatest && child.kind == .write && child.protocolURI == PermissionsProtocol.uri
        && child.place?.path == PermissionsProtocol.revocation
    }.compactMap(\.place?.dateCreated).min()
  }

  private func missing(_ id: RecordID) -> DWNError {
    DWNError(401, "GrantAuthorizationGrantMissing", "the grant \(id) is not here, or it was deleted")
  }
}
