/// What the parts of a definition must not say about each other (`ProtocolsConfigure…` codes, status 400).
struct ProtocolDefinitionRules {
  let definition: ProtocolDefinition
  let isStrict: Bool

  func check() throws(DWNError) {
    let ruleSets = definition.ruleSets
    let roles = Set(ruleSets.filter(\.isRole).map(\.path))
    for ruleSet in ruleSets {
      for rule in ruleSet.actions ?? [] { try check(rule, at: ruleSet.path, roles: roles) }
      try checkDuplicates(ruleSet)
      if isStrict { try checkIssuance(ruleSet) }
    }
    // The directive of the JWE envelope says itself where the keys are; the rows below belong to the v1 envelope.
    guard ruleSets.allSatisfy({ $0.encryption == nil }) else { return }
    for ruleSet in ruleSets
    where ruleSet.reference == nil && definition.types[ruleSet.path.typeName]?.encryptionRequired == true {
      try checkKeyAgreement(ruleSet)
    }
  }

  private func check(_ rule: ActionRule, at path: ProtocolPath, roles: Set<ProtocolPath>) throws(DWNError) {
    switch rule.actor {
    case .anyone: break
    case .role(let reference):
      // The other protocol's definition may change: whether it has the role is asked when it is invoked.
      guard reference.alias == nil else { break }
      let role = reference.path
      guard roles.contains(role) else {
        throw .configure("RoleDoesNotExistAtGivenPath", "a rule at \(path) names \(role), where no role is declared")
      }
      guard role.depth - 1 <= path.depth else {
        throw .configure("RoleParentContextDepthExceeded", "a rule at \(path) names \(role), which lies deeper")
      }
    case .author(let of): try checkAncestor(of, of: path)
    case .recipient(let of?): try checkAncestor(of, of: path)
    case .recipient(nil):
      guard rule.can.isSubset(of: [.coUpdate, .coDelete, .coPrune]) else {
        throw .configure(
          "InvalidRecipientOfAction", "recipient at \(path) without \"of\" can only co-update, co-delete and co-prune")
      }
    }
    let needCreate: [(RecordAction, String)] = [
      (.update, "InvalidActionUpdateWithoutCreate"), (.delete, "InvalidActionDeleteWithoutCreate"),
      (.prune, "InvalidActionPruneWithoutCreate"),
    ]
    for (action, code) in needCreate where rule.can.contains(action) && !rule.can.contains(.create) {
      throw .configure(code, "a rule at \(path) allows \(action.rawValue) without create")
    }
  }

  private func checkAncestor(_ reference: PathReference, of path: ProtocolPath) throws(DWNError) {
    guard reference.alias == nil else { return }
    let ancestor = reference.path
    guard path == ancestor || path.text.hasPrefix(ancestor.text + "/") else {
      throw .configure(
        "InvalidActionOfNotAnAncestor", "a rule at \(path) says \"of \(ancestor)\", which is not above it")
    }
  }

  private func checkDuplicates(_ ruleSet: RuleSet) throws(DWNError) {
    var seen: Set<ActionRule.Actor> = []
    for rule in ruleSet.actions ?? [] where !seen.insert(rule.actor).inserted {
      if case .role(let role) = rule.actor {
        throw .configure("DuplicateRoleInRuleSet", "two rules at \(ruleSet.path) name the role \(role)")
      }
      throw .configure("DuplicateActorInRuleSet", "two rules at \(ruleSet.path) name the same actor")
    }
  }

  private func checkIssuance(_ ruleSet: RuleSet) throws(DWNError) {
    guard ruleSet.isRole else { return }
    for rule in ruleSet.actions ?? [] where rule.actor == .anyone && !rule.can.isDisjoint(with: [.create, .squash]) {
      throw .configure("InvalidRoleIssuance", "anyone may give the role \(ruleSet.path)")
    }
  }

  private func checkKeyAgreement(_ ruleSet: RuleSet) throws(DWNError) {
    let path = ruleSet.path
    guard definition.keyAgreement != nil else {
      throw .configure("MissingTopLevelKeyAgreement", "\(path) is encrypted, and the definition has no $keyAgreement")
    }
    guard ruleSet.keyAgreement != nil else {
      throw .configure("MissingEncryptedPathKeyAgreement", "\(path) is encrypted, and has no $keyAgreement")
    }
    for rule in ruleSet.actions ?? [] where rule.actor == .anyone && rule.can.contains(.read) {
      throw .configure("InvalidEncryptedAnyoneRead", "\(path) is encrypted, and lets anyone read")
    }
    for role in ruleSet.readingRoles where definition.ruleSet(at: role)?.keyAgreement == nil {
      throw .configure("InvalidEncryptedRoleMissingKeyAgreement", "\(role) reads \(path), and has no $keyAgreement")
    }
  }
}
