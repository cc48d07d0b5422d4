public import Identity
public import Wire

/// Whether a grant covers what its holder does with it. Everything is judged by the message's own time (dwn-server 8.2, 8.3);
/// the caller has looked up what there is to know. Refusals have status 401.
extension PermissionGrant {
  /// Who uses the grant, and who must have given it.
  ///
  /// `revoked` is the time of the earliest revocation that is known.
  public func check(
    for message: Message, by grantee: DID, from grantor: DID, revoked: WallTime?
  ) throws(DWNError) {
    func demand(_ holds: Bool, _ code: String, _ text: String) throws(DWNError) {
      if !holds { throw DWNError(401, "GrantAuthorization" + code, text) }
    }
    try demand(self.grantee == grantee, "NotGrantedToAuthor", "the grant \(id) was given to somebody else")
    try demand(self.grantor == grantor, "NotGrantedForTenant", "the grant \(id) was given by somebody else")
    try demand(message.timestamp >= dateGranted, "GrantNotYetActive", "the message is older than the grant \(id)")
    try demand(message.timestamp < dateExpires, "GrantExpired", "the grant \(id) expired at \(dateExpires.timestamp)")
    try demand(revoked.map { message.timestamp < $0 } ?? true, "GrantRevoked", "the grant \(id) was revoked")
    try demand(
      scope.interface.rawValue == message.kind.interface, "InterfaceMismatch",
      "the grant \(id) is about \(scope.interface.rawValue)")
    try demand(scope.covers(method: message.kind), "MethodMismatch", "the grant \(id) is for \(scope.method)")
  }

  /// For a write: of the record itself and of what may be published by the grant.
  public func checkWrite(_ write: RecordsWrite) throws(DWNError) {
    try checkRecord(write.protocolURI, write.path, write.contextID)
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

  /// For a delete, with the place of the record's first write.
  public func checkDelete(_ uri: String, _ path: ProtocolPath, _ context: ContextID) throws(DWNError) {
    guard scope.protocolURI == uri else {
      throw refused("DeleteProtocolScopeMismatch", "the grant \(id) is for another protocol")
    }
    try checkRecord(uri, path, context)
  }

  /// For a query, a count or a subscription: the filter must keep to the scope.
  public func checkFilter(_ filter: RecordsFilter) throws(DWNError) {
    guard scope.protocolURI == filter.protocolURI, scope.path == nil || scope.path == filter.path,
      scope.contextID.map({ scoped in filter.contextID.map { scoped.contains($0) } ?? false }) ?? true
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

  /// For a MessagesQuery or a MessagesSubscribe: a scope with a protocol wants every filter to name it.
  public func checkFilters(_ filters: [MessagesFilter]) throws(DWNError) {
    guard let uri = scope.protocolURI else { return }
    guard !filters.isEmpty, filters.allSatisfy({ $0.protocolURI == uri }) else {
      throw DWNError(
        401, "MessagesGrantAuthorizationMismatchedProtocol", "every filter must name the protocol of the grant \(id)")
    }
  }

  /// For a MessagesRead: `uris` are the protocols that the message belongs to, two for a permission record.
  public func checkMessage(of uris: Set<String>) throws(DWNError) {
    guard scope.protocolURI.map({ uris.contains($0) }) ?? true else {
      throw DWNError(401, "MessagesReadVerifyScopeFailed", "the grant \(id) is for another protocol")
    }
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
