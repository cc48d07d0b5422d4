import DWN
import Identity
import Wire

/// Which records whoever asks may see. Having no right is no error: there is less to see, or nothing. A role or a grant that is
/// claimed in vain is one, with status 401 (dwn-server 5.2).
struct RecordsVisibility {
  let tenant: DID
  let reader: any MessageReader
  let definitions: DefinitionCache
  private let keys: AudienceKeys

  /// `keys` are those of the same tenant and reader.
  init(tenant: DID, reader: any MessageReader, definitions: DefinitionCache, keys: AudienceKeys? = nil) {
    self.tenant = tenant
    self.reader = reader
    self.definitions = definitions
    self.keys = keys ?? AudienceKeys(tenant: tenant, reader: reader)
  }

  /// `moment` stands in for the request's own time where a right is used again: by a subscription.
  func visibility(for request: RecordsQueryRequest, at moment: WallTime? = nil) throws -> Selection.Visibility {
    guard let signed = request.signed else { return .published }
    let grants = GrantRules(tenant: tenant, reader: reader)
    try grants.carried(by: signed, at: moment)?.checkFilter(request.filter)
    let rules = {
      try request.filter.protocolURI.map {
        try definitions.rules(of: $0, at: moment ?? request.time, in: reader, refusal: 401)
      }
    }
    if signed.isTenants(tenant, in: reader, by: try rules(), at: request.filter.contextID) { return .all }
    if let id = request.grantID {
      try grants.invoked(id, for: signed, at: moment).checkFilter(request.filter)
      return .all
    }
    if request.filter.namesAudiences { return .all }
    if let role = request.role, let path = request.filter.path {
      guard let uri = request.filter.protocolURI else {
        throw DWNError(401, "ProtocolAuthorizationProtocolNotFound", "with a role, the filter names a protocol")
      }
      try definitions.rules(of: uri, at: moment ?? request.time, in: reader, refusal: 401)
        .authorizeQuery(signed.author, role: role, at: path, context: request.filter.contextID)
      return .all
    }
    return signed.author == tenant ? .published : .publishedAndOwn(signed.author)
  }

  /// Whether an answer leaves a message out that the visibility above would show: a key for somebody else, or one that another
  /// stands for (dwn-server 10.3, 10.4). `moment` as above.
  func hides(_ message: StoredMessage, from request: RecordsQueryRequest, at moment: WallTime? = nil) throws -> Bool {
    guard let place = message.place, place.path.isControl else { return false }
    if try keys.isSuperseded(message, for: request.filter) { return true }
    guard let requester = request.requester, requester != tenant, message.author != requester,
      place.recipient != requester, message.content?.isPublished != true
    else { return false }
    guard place.path == EncryptionControl.audience else { return true }
    if request.grantID != nil || request.filter.namesOneAudience { return false }
    return try !keys.mayCreateRole(
      of: message, requester, role: request.role, definitions, at: moment ?? request.time)
  }

  /// The paths at which something may be hidden from a request that finds records there.
  func hidingPaths(for request: RecordsQueryRequest) -> [ProtocolPath] {
    [EncryptionControl.audience, EncryptionControl.delivery].filter { control in
      request.filter.path.map { $0 == control } ?? true
    }
  }
}
