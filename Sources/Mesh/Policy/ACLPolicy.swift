public import Wire

/// `network/aclPolicy`: who may talk to whom. Rules are tried in their order, the first that matches decides, then the default
/// action.
public struct ACLPolicy: MeshPayload, Hashable {
  public static let schema = RecordSchema.aclPolicy

  public enum Action: String, Hashable, Sendable {
    case accept
    case drop
  }

  public struct Rule: Hashable, Sendable {
    public let action: Action
    /// `*`, `group:NAME`, a DID, an address, a block or a range; never empty.
    public let sources: [String]
    public let destinations: [String]
    /// `tcp`, `udp`, `icmp`; `nil` for any.
    public let proto: String?
    /// `n` or `a-b`; empty for any.
    public let sourcePorts: [String]
    public let destinationPorts: [String]
    /// Members that this version does not know: they may narrow the rule.
    public let hasUnknownMembers: Bool

    /// Whether it matches every packet.
    public var isUniversal: Bool {
      sources.contains("*") && destinations.contains("*") && proto == nil && sourcePorts.isEmpty
        && destinationPorts.isEmpty && !hasUnknownMembers
    }
  }

  /// What a policy comes to.
  public enum Meaning: Hashable, Sendable {
    case acceptsAll
    case deniesAll
    /// It depends on the packet, which this version does not evaluate: nothing may enter.
    case notEvaluated
  }

  public let version: Int64
  /// What happens to a packet that no rule matches; a policy that says nothing drops it.
  public let defaultAction: Action
  public let groups: [String: [String]]
  public let rules: [Rule]
  /// As it was written, with members that nobody here knows.
  public let json: JSONValue

  /// The policy with which every network begins.
  public static let acceptAll = ACLPolicy(
    version: 1, defaultAction: .accept,
    rules: [
      Rule(
        action: .accept, sources: ["*"], destinations: ["*"], proto: nil, sourcePorts: [], destinationPorts: [],
        hasUnknownMembers: false)
    ],
    json: [
      "version": 1, "defaultAction": "accept", "rules": [["action": "accept", "src": ["*"], "dst": ["*"]]],
    ])

  private init(version: Int64, defaultAction: Action, rules: [Rule], json: JSONValue) {
    self.version = version
    self.defaultAction = defaultAction
    self.groups = [:]
    self.rules = rules
    self.json = json
  }

  public init(_ members: JSONObject) throws(MeshError) {
    let reader = PayloadReader(members, of: Self.schema)
    json = .object(members)
    version = try reader.required("version", "a number from 1") { $0.integer.flatMap { $0 >= 1 ? $0 : nil } }
    defaultAction =
      try reader.optional("defaultAction", "accept or drop") { $0.string.flatMap { Action(rawValue: $0) } } ?? .drop
    var groups: [String: [String]] = [:]
    for (name, group) in try reader.optional("groups", "an object", \.object)?.members ?? [] {
      guard let members = group == .null ? [] : Self.texts(group) else {
        throw reader.wrong("groups.\(name)", "a list of DIDs")
      }
      groups[name] = members
    }
    self.groups = groups
    var rules: [Rule] = []
    for rule in try reader.optional("rules", "a list", \.array) ?? [] {
      guard let members = rule.object else { throw reader.malformed("a rule is not an object") }
      rules.append(try Rule(PayloadReader(members, of: Self.schema), names: members.names))
    }
    self.rules = rules
  }

  /// What it comes to for every packet alike, if it does.
  ///
  /// A rule decides everything that gets to it when it is universal; those before it do not matter when they do the same.
  public var meaning: Meaning {
    for (index, rule) in rules.enumerated() where rule.isUniversal {
      return Self.meaning(of: rule.action, after: rules[..<index])
    }
    return Self.meaning(of: defaultAction, after: rules[...])
  }

  private static func meaning(of action: Action, after earlier: ArraySlice<Rule>) -> Meaning {
    guard earlier.allSatisfy({ $0.action == action }) else { return .notEvaluated }
    return action == .accept ? .acceptsAll : .deniesAll
  }

  fileprivate static func texts(_ value: JSONValue) -> [String]? {
    guard let list = value.array else { return nil }
    let texts = list.compactMap(\.string)
    return texts.count == list.count ? texts : nil
  }
}

extension ACLPolicy.Rule {
  fileprivate init(_ reader: PayloadReader, names: [String]) throws(MeshError) {
    action = try reader.required("action", "accept or drop") { $0.string.flatMap { ACLPolicy.Action(rawValue: $0) } }
    sources = try reader.required("src", "a list of text that is not empty", Self.matchers)
    destinations = try reader.required("dst", "a list of text that is not empty", Self.matchers)
    let proto = try reader.label("proto")
    self.proto = proto == "*" ? nil : proto
    sourcePorts = try reader.optional("srcPorts", "a list of text", ACLPolicy.texts) ?? []
    destinationPorts = try reader.optional("dstPorts", "a list of text", ACLPolicy.texts) ?? []
    let known: Set<String> = ["action", "src", "dst", "proto", "srcPorts", "dstPorts"]
    hasUnknownMembers = names.contains { !known.contains($0) }
  }

  private static func matchers(_ value: JSONValue) -> [String]? {
    ACLPolicy.texts(value).flatMap { $0.isEmpty ? nil : $0 }
  }
}
