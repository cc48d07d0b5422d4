public import Cryptography
import Wire

/// What the rules of a protocol say about the records at one path.
public struct RuleSet: Hashable, Sendable {
  /// `$encryption`: the key to which records at a path are encrypted in networks with the JWE envelope.
  public struct Encryption: Hashable, Sendable {
    public let rootKeyID: String
    public let publicKey: X25519PublicKey
  }

  /// `$recordLimit`: how many live records there may be below one parent.
  public struct RecordLimit: Hashable, Sendable {
    public enum Strategy: String, Hashable, Sendable {
      /// Later records are kept and not shown.
      case reject
      /// The oldest make room.
      case purgeOldest
    }

    public let maximum: Int
    public let strategy: Strategy
  }

  public let path: ProtocolPath
  /// `$ref`: records of another protocol stand here, which this one says nothing about but what may be below them.
  public let reference: PathReference?
  /// `nil` when the path has no `$actions`: then only the tenant may do anything.
  public let actions: [ActionRule]?
  /// `$role`: a record here makes its recipient a holder of this role.
  public let isRole: Bool
  /// `$size`: bytes of data, smallest and largest.
  public let smallestSize: Int?
  public let largestSize: Int?
  public let tags: TagRules?
  public let recordLimit: RecordLimit?
  /// `$immutable`: no write after the first.
  public let isImmutable: Bool
  /// `$squash`: a write may replace all its older siblings.
  public let allowsSquash: Bool
  public let encryption: Encryption?
  /// `$keyAgreement`: the public key of this path in networks of the v1 envelope.
  public let keyAgreement: X25519PublicKey?
  /// The record types below, by name.
  public let children: [String: RuleSet]

  /// The local roles that may read records here, in the order of the rules.
  public var readingRoles: [ProtocolPath] {
    (actions ?? []).compactMap { rule in
      if case .role(let role) = rule.actor, role.alias == nil, rule.can.contains(.read) { role.path } else { nil }
    }
  }

  /// This rule set and all below it, parents first and siblings by name.
  public var subtree: [RuleSet] {
    [self] + children.sorted { $0.key < $1.key }.flatMap { $0.value.subtree }
  }
}

/// One line of `$actions`: who may do what.
public struct ActionRule: Hashable, Sendable {
  public enum Actor: Hashable, Sendable {
    case anyone
    /// The author of the record at this path in the chain of parents.
    case author(of: PathReference)
    /// The recipient of the record at this path in the chain of parents; without a path, of the record itself.
    case recipient(of: PathReference?)
    /// Whoever invokes this role and holds it.
    case role(PathReference)
  }

  public let actor: Actor
  public let can: Set<RecordAction>
}

/// What a rule can allow. The `co` forms act on records of other authors.
public enum RecordAction: String, Hashable, Sendable, CaseIterable {
  case create, read, update, delete, prune, squash
  case coUpdate = "co-update"
  case coDelete = "co-delete"
  case coPrune = "co-prune"
}
