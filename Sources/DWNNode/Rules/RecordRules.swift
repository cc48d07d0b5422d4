import DWN
import Identity
import Wire

/// Who may act on a record by the rules of its protocol (dwn-server 6.3, 6.4). Refusals have status 401.
struct RecordRules {
  let reader: any MessageReader
  let definition: ProtocolDefinition
  /// Of the other protocols that this one uses, as they are at a time.
  let definitions: DefinitionCache
  let time: WallTime

  /// What is acted upon.
  struct Subject {
    var path: ProtocolPath
    /// Of the record itself, or for a record that does not exist yet, what it will be.
    var contextID: ContextID
    /// Of the record itself.
    var recipient: DID?
    /// The last record of the chain: the record itself, or its parent when it does not exist yet.
    var chainEnd: ContextID?
  }

  /// Returns the rule by which `requester` may do one of `actions`; `nil` is somebody who did not sign.
  @discardableResult
  func authorize(
    _ requester: DID?, role: String?, to actions: Set<RecordAction>, on subject: Subject
  ) throws -> ActionRule {
    let role = try role.map { try verifiedRole($0, holder: requester, context: subject.contextID) }
    let rules = try ruleSet(at: subject.path)
    var chain: [Link: StoredMessage]?
    for rule in rules where !rule.can.isDisjoint(with: actions) {
      switch rule.actor {
      case .anyone: return rule
      case .role(let named): if named == role { return rule }
      case .recipient(nil): if role == nil, let requester, subject.recipient == requester { return rule }
      case .author(let of), .recipient(let of?):
        guard role == nil, let requester else { continue }
        if chain == nil { chain = try recordChain(to: subject.chainEnd) }
        guard let target = definition.target(of: of),
          let ancestor = chain?[Link(protocolURI: target.protocolURI, path: target.path)]
        else { continue }
        let party: DID? = if case .author = rule.actor { ancestor.author } else { ancestor.place?.recipient }
        if party == requester { return rule }
      }
    }
    throw refused(actions, at: subject.path)
  }

  /// Throws unless somebody holds a role in a context.
  func check(role: String, of holder: DID, in context: ContextID?) throws {
    _ = try verifiedRole(role, holder: holder, context: context)
  }

  /// For a query, which has no chain of records: only a role or everybody can be allowed.
  func authorizeQuery(_ requester: DID, role: String, at path: ProtocolPath, context: ContextID?) throws {
    let role = try verifiedRole(role, holder: requester, context: context)
    for rule in try ruleSet(at: path) where rule.can.contains(.read) {
      if rule.actor == .anyone || rule.actor == .role(role) { return }
    }
    throw refused([.read], at: path)
  }

  private func ruleSet(at path: ProtocolPath) throws -> [ActionRule] {
    guard let actions = definition.ruleSet(at: path)?.actions else {
      throw DWNError(
        401, "ProtocolAuthorizationActionRulesNotFound", "nobody but the tenant may do anything at \(path)")
    }
    return actions
  }

  private func refused(_ actions: Set<RecordAction>, at path: ProtocolPath) -> DWNError {
    let names = actions.map(\.rawValue).sorted().joined(separator: " or ")
    return DWNError(401, "ProtocolAuthorizationActionNotAllowed", "no rule allows the author to \(names) at \(path)")
  }

  /// The role, once it is proved that the holder has a live role record in this context.
  private func verifiedRole(_ text: String, holder: DID?, context: ContextID?) throws -> PathReference {
    guard let role = PathReference(text), let uri = role.alias.map({ definition.uses[$0] }) ?? definition.uri,
      case let declaring = try definition(of: uri), declaring.ruleSet(at: role.path)?.isRole == true
    else {
      throw DWNError(401, "ProtocolAuthorizationNotARole", "\(text) is not a role of \(definition.uri)")
    }
    var parent: ContextID?
    if role.path.depth > 1 {
      parent = try definitions.contextDepth(at: role.path, of: declaring, at: time, in: reader, refusal: 401)
        .flatMap { context?.prefix($0 - 1) }
      guard parent != nil else {
        throw DWNError(
          401, "ProtocolAuthorizationMissingContextId", "the role \(role) holds in a context, and none is given")
      }
    }
    let place = SiblingPlace(protocolURI: uri, path: role.path, parent: parent)
    let isBounded = declaring.ruleSet(at: role.path)?.recordLimit?.strategy == .reject
    guard let holder, try reader.hasRole(place, holder, at: time), try !isBounded || isShown(holder, place) else {
      throw DWNError(
        401, "ProtocolAuthorizationMatchingRoleRecordNotFound", "the author does not hold the role \(role)")
    }
    return role
  }

  /// Whether the role's record is one of those for which there is room: nobody is shown another one, and it gives nothing.
  private func isShown(_ holder: DID, _ place: SiblingPlace) throws -> Bool {
    guard reader.ended == nil, let record = try reader.roleRecord(place, recipient: holder)?.place?.recordID else {
      return true
    }
    let filter = RecordsFilter(protocolURI: place.protocolURI, path: place.path, recordID: record)
    return try !reader.find(
      Selection(filter: filter, visibility: .all, occupancy: reader.occupancy(for: filter), limit: 1)
    ).isEmpty
  }

  private func definition(of uri: String) throws -> ProtocolDefinition {
    uri == definition.uri ? definition : try definitions.definition(of: uri, at: time, in: reader, refusal: 401)
  }

  /// Where an ancestor stands.
  private struct Link: Hashable {
    var protocolURI: String
    var path: ProtocolPath
  }

  /// The initial writes from the root down, whatever protocols they are of.
  private func recordChain(to end: ContextID?) throws -> [Link: StoredMessage] {
    var chain: [Link: StoredMessage] = [:]
    for record in end?.segments ?? [] {
      guard let initial = try reader.messages(of: record).first(where: { $0.content?.isInitial == true }),
        let path = initial.place?.path
      else {
        throw DWNError(
          401, "ProtocolAuthorizationParentNotFoundConstructingRecordChain", "the record \(record) is not here")
      }
      chain[Link(protocolURI: initial.protocolURI, path: path)] = initial
    }
    return chain
  }
}
