public import Identity
public import Wire

/// Whether a grant covers what its holder does with it. Everything is judged by the message's own time (dwn-server 8.2, 8.3);
/// the caller has looked up what there is to know. Refusals have status 401.
extension PermissionGrant {
  /// Who uses the grant, and who must have given it.
  ///
  /// `revoked` is the time of the earliest revocation that is known. `moment` stands in for the message's time where a right is
  /// used again, later than the message was made: by a subscription.
  public func check(
    for message: Message, by grantee: DID, from grantor: DID, revoked: WallTime?, at moment: WallTime? = nil
  ) throws(DWNError) {
    guard self.grantee == grantee else {
      throw unusable("NotGrantedToAuthor", "the grant \(id) was given to somebody else")
    }
    guard self.grantor == grantor else {
      throw unusable("NotGrantedForTenant", "the grant \(id) was given by somebody else")
    }
    try checkLife(at: moment ?? message.timestamp, revoked: revoked)
    guard scope.interface.rawValue == message.kind.interface else {
      throw unusable("InterfaceMismatch", "the grant \(id) is about \(scope.interface.rawValue)")
    }
    guard scope.covers(method: message.kind) else {
      throw unusable("MethodMismatch", "the grant \(id) is for \(scope.method)")
    }
  }

  /// Whether it has begun and is not over.
  public func checkLife(at time: WallTime, revoked: WallTime?) throws(DWNError) {
    guard time >= dateGranted else { throw unusable("GrantNotYetActive", "the grant \(id) is younger than its use") }
    guard time < dateExpires else {
      throw unusable("GrantExpired", "the grant \(id) expired at \(dateExpires.timestamp)")
    }
    guard revoked.map({ time < $0 }) ?? true else { throw unusable("GrantRevoked", "the grant \(id) was revoked") }
  }

  /// For a write: of the record itself and of what may be published by the grant.
  public func checkWrite(_ write: RecordsWrite) throws(DWNError) {
    if write.path.isControl {
      try checkControl(write.protocolURI, write.tags)
    } else {
      try checkRecord(write.protocolURI, write.path, write.contextID)
    }
    switch publication {
    case .required where !write.published:
      throw refused("ConditionPublicationRequired", "by the grant \(id) only published records are written")
    case .prohibited where write.published:
      throw refused("ConditionPublicationProhibited", "by the grant \(id) no published record is written")
    default: return
    }
  }

  /// For a read of one record.
  public func checkRecord(_ uri: String, _ path: ProtocolPath, _ context: ContextID) throws(DWNError) {
    guard scope.protocolURI == uri else {
      throw refused("ScopeProtocolMismatch", "the grant \(id) is for another protocol")
    }
    if let scoped = scope.path, scoped != path {
      throw refused("ScopeProtocolPathMismatch", "the grant \(id) is for records at \(scoped)")
    }
    if let scoped = scope.contextID, !scoped.contains(context) {
      throw refused("ScopeContextIdMismatch", "the grant \(id) is for another context")
    }
  }

  /// For a record with the key of an audience, by its tags: it goes with the role whose holders are the audience (dwn-server 10.2,
  /// 10.4), wherever it stands itself.
  public func checkControl(_ uri: String, _ tags: JSONObject?) throws(DWNError) {
    guard scope.protocolURI == uri else {
      throw refused("ScopeProtocolMismatch", "the grant \(id) is for another protocol")
    }
    guard let audience = tags.flatMap({ AudienceName($0) }) else {
      guard scope.path == nil, scope.contextID == nil else {
        throw refused("ScopeProtocolPathMismatch", "the record names no audience, and the grant \(id) is not for all")
      }
      return
    }
    if let scoped = scope.path, scoped != audience.rolePath {
      throw refused("ScopeProtocolPathMismatch", "the grant \(id) is for records at \(scoped)")
    }
    if let scoped = scope.contextID, !(audience.contextID.map { scoped.contains($0) } ?? false) {
      throw refused("ScopeContextIdMismatch", "the grant \(id) is for another context")
    }
  }

  /// For a delete, with the place of the record's first write.
  public func checkDelete(_ uri: String, _ path: ProtocolPath, _ context: ContextID) throws(DWNError) {
    guard scope.protocolURI == uri else {
      throw refused("DeleteProtocolScopeMismatch", "the grant \(id) is for another protocol")
    }
    try checkRecord(uri, path, context)
  }

  /// For a query, a count or a subscription: the filter must keep to the scope.
  /// Of the keys of audiences, it must name the role or the context.
  public func checkFilter(_ filter: RecordsFilter) throws(DWNError) {
    let isControl = filter.path?.isControl == true
    func names(_ tag: String) -> String? {
      if isControl, case .equals(let value) = filter.tags[tag] { value.string } else { nil }
    }
    let path = names("rolePath").flatMap { ProtocolPath($0) } ?? filter.path
    let context = names("contextId").map { ContextID($0) } ?? filter.contextID
    guard scope.protocolURI == filter.protocolURI, scope.path == nil || scope.path == path,
      scope.contextID.map({ scoped in context.map { scoped.contains($0) } ?? false }) ?? true
    else {
      throw refused("QueryOrSubscribeProtocolScopeMismatch", "the filter reaches beyond the grant \(id)")
    }
  }

  /// For a ProtocolsConfigure.
  public func checkConfigure(of uri: String) throws(DWNError) {
    guard scope.protocolURI == nil || scope.protocolURI == uri else {
      throw DWNError(
        401, "ProtocolsGrantAuthorizationScopeProtocolMismatch", "the grant \(id) is for another protocol")
    }
  }

  /// For a ProtocolsQuery.
  public func checkProtocolsQuery(of uri: String?) throws(DWNError) {
    guard scope.protocolURI == nil || scope.protocolURI == uri else {
      throw DWNError(
        401, "ProtocolsGrantAuthorizationQueryProtocolScopeMismatch", "the grant \(id) is for another protocol")
    }
  }

  /// For a MessagesRead: `uris` are the protocols that the message belongs to, two for a permission record.
  public func checkMessage(of uris: Set<String>) throws(DWNError) {
    guard scope.protocolURI.map({ uris.contains($0) }) ?? true else {
      throw DWNError(401, "MessagesReadVerifyScopeFailed", "the grant \(id) is for another protocol")
    }
  }

  private func unusable(_ code: String, _ text: String) -> DWNError {
    DWNError(401, "GrantAuthorization" + code, text)
  }

  private func refused(_ code: String, _ text: String) -> DWNError {
    DWNError(401, "RecordsGrantAuthorization" + code, text)
  }
}

extension PermissionScope {
  /// Whether the scope's method is the message's, or includes it.
  public func covers(method kind: Message.Kind) -> Bool {
    if method == kind.method { return true }
    guard method == "Read" else { return false }
    switch kind {
    case .recordsQuery, .recordsCount, .recordsSubscribe, .messagesQuery, .messagesSubscribe: return true
    default: return false
    }
  }
}
