import DWN
import Identity

/// Roles whose records give way to younger ones beside them, and leave nothing (dwn-messages 6): to a squash, to one more than a
/// `$recordLimit` has room for, or to one more of what anyone may create.
///
/// Who held such a role can only be said by what the holder did. That it was allowed is believed where a record stands to which the
/// role's own may have given way since.
struct PassingRoles {
  private struct Role: Hashable {
    var protocolURI: String
    var path: ProtocolPath
  }

  /// Only squashes take their place.
  private var squashed: Set<Role> = []
  /// Any younger record may take their place.
  private var crowded: Set<Role> = []

  /// Takes in what a definition says, which counts for records of all times: they may have given way under any that there was.
  mutating func note(_ definition: ProtocolDefinition) {
    for rules in definition.ruleSets where rules.isRole {
      let role = Role(protocolURI: definition.uri, path: rules.path)
      if rules.recordLimit?.strategy == .purgeOldest || rules.isOpenToAnyone {
        crowded.insert(role)
      } else if rules.allowsSquash {
        squashed.insert(role)
      }
    }
  }

  /// What a record has to be for those of a role to give way to it, in SQL; `nil` where they never do.
  func successors(at place: SiblingPlace) -> String? {
    let role = Role(protocolURI: place.protocolURI, path: place.path)
    if crowded.contains(role) { return "is_initial" }
    return squashed.contains(role) ? "is_initial AND squash" : nil
  }
}

extension RuleSet {
  fileprivate var isOpenToAnyone: Bool {
    actions?.contains { $0.actor == .anyone && $0.can.contains(.create) } ?? false
  }
}
