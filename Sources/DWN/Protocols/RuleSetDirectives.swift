import Cryptography
import Identity
import Wire

/// The members of a rule set that begin with `$`.
struct RuleSetDirectives {
  static let known: Set<String> = [
    "$actions", "$role", "$size", "$tags", "$recordLimit", "$immutable", "$delivery", "$squash", "$keyAgreement",
    "$encryption",
  ]

  let path: ProtocolPath
  let object: JSONObject
  /// The aliases that references may have.
  let aliases: Set<String>

  func flag(_ name: String) throws(DWNError) -> Bool {
    guard let value = object[name] else { return false }
    guard let flag = value.bool, name != "$squash" || flag else {
      throw .schema("\(name) at \(path) must be \(name == "$squash" ? "true" : "a boolean")")
    }
    return flag
  }

  func size() throws(DWNError) -> (smallest: Int?, largest: Int?) {
    guard let value = object["$size"] else { return (nil, nil) }
    guard let size = value.object, size.names.allSatisfy({ $0 == "min" || $0 == "max" }),
      size.members.allSatisfy({ ($0.value.integer ?? -1) >= 0 })
    else { throw .schema("$size at \(path) has min and max, in bytes") }
    let smallest = size["min"]?.integer.map { Int($0) }
    let largest = size["max"]?.integer.map { Int($0) }
    if let smallest, let largest, smallest > largest {
      throw .configure("InvalidSize", "$size at \(path) has a min above its max")
    }
    return (smallest, largest)
  }

  func recordLimit() throws(DWNError) -> RuleSet.RecordLimit? {
    guard let value = object["$recordLimit"] else { return nil }
    guard let limit = value.object, limit.count == 2, let maximum = limit["max"]?.integer, (1...1000).contains(maximum),
      let strategy = limit["strategy"]?.string.flatMap({ RuleSet.RecordLimit.Strategy(rawValue: $0) })
    else {
      throw .configure(
        "InvalidRecordLimit", "$recordLimit at \(path) has a max of 1 to 1000 and a strategy, reject or purgeOldest")
    }
    return RuleSet.RecordLimit(maximum: Int(maximum), strategy: strategy)
  }

  func tags() throws(DWNError) -> TagRules? {
    guard let value = object["$tags"] else { return nil }
    guard let directive = value.object else { throw .schema("$tags at \(path) must be an object") }
    do { return try TagRules(directive) } catch {
      throw .configure("InvalidTagSchema", "$tags at \(path): \(error)")
    }
  }

  func encryption() throws(DWNError) -> RuleSet.Encryption? {
    guard let value = object["$encryption"] else { return nil }
    guard let directive = value.object, directive.count == 2, let rootKeyID = directive["rootKeyId"]?.string,
      case .x25519(let key)? = directive["publicKeyJwk"].flatMap({ PublicJWK($0) })
    else { throw .schema("$encryption at \(path) has a rootKeyId and an X25519 publicKeyJwk") }
    return RuleSet.Encryption(rootKeyID: rootKeyID, publicKey: key)
  }

  func keyAgreement() throws(DWNError) -> X25519PublicKey? {
    guard let value = object["$keyAgreement"] else { return nil }
    return try Self.agreementKey(value, at: path.text)
  }

  /// Other implementations write a `kid` into the key.
  static func agreementKey(_ json: JSONValue, at place: String) throws(DWNError) -> X25519PublicKey {
    guard let directive = json.object, directive.count == 1,
      let key = directive["publicKeyJwk"].flatMap(X25519PublicKey.init(publicJWK:))
    else { throw .schema("$keyAgreement at \(place) has an X25519 publicKeyJwk without d, and nothing else") }
    return key
  }

  func actions() throws(DWNError) -> [ActionRule]? {
    if let delivery = object["$delivery"], delivery != "direct", delivery != "subscribe" {
      throw .schema("$delivery at \(path) is direct or subscribe")
    }
    guard let value = object["$actions"] else { return nil }
    guard let list = value.array, (1...100).contains(list.count) else {
      throw .schema("$actions at \(path) is a list of 1 to 100 rules")
    }
    var rules: [ActionRule] = []
    for item in list { rules.append(try rule(item)) }
    return rules
  }

  private func rule(_ json: JSONValue) throws(DWNError) -> ActionRule {
    guard let object = json.object, let list = object["can"]?.array, !list.isEmpty else {
      throw .schema("a rule at \(path) has no \"can\"")
    }
    var can: Set<RecordAction> = []
    for item in list {
      guard let action = item.string.flatMap({ RecordAction(rawValue: $0) }) else {
        throw .schema("a rule at \(path) allows \(item.text), which is no action")
      }
      can.insert(action)
    }
    return ActionRule(actor: try actor(object), can: can)
  }

  private func actor(_ rule: JSONObject) throws(DWNError) -> ActionRule.Actor {
    if let role = rule["role"] {
      guard rule.count == 2, let text = role.string else {
        throw .schema("a role rule at \(path) has role and can only")
      }
      return .role(try reference(text, "InvalidCrossProtocolRole"))
    }
    guard rule.names.allSatisfy({ ["who", "of", "can"].contains($0) }), let who = rule["who"]?.string else {
      throw .schema("a rule at \(path) names who, perhaps of what, and what they can")
    }
    var of: PathReference?
    if let value = rule["of"] {
      guard let text = value.string else { throw .schema("\"of\" in a rule at \(path) must be a path") }
      of = try reference(text, "InvalidCrossProtocolOf")
    }
    switch who {
    case "anyone":
      guard of == nil else { throw .configure("InvalidActionOfNotAllowed", "anyone at \(path) has no \"of\"") }
      return .anyone
    case "author":
      guard let of else { throw .configure("InvalidActionMissingOf", "author at \(path) needs \"of\"") }
      return .author(of: of)
    case "recipient": return .recipient(of: of)
    default: throw .schema("who at \(path) is anyone, author or recipient")
    }
  }

  private func reference(_ text: String, _ code: String) throws(DWNError) -> PathReference {
    guard let reference = PathReference(text) else {
      if text.contains(":") { throw .configure(code, "\"\(text)\" in a rule at \(path) is no alias with a path") }
      throw .schema("\"\(text)\" in a rule at \(path) is no protocol path")
    }
    if let alias = reference.alias, !aliases.contains(alias) {
      throw .configure(code, "a rule at \(path) names the protocol \(alias), which the definition does not use")
    }
    return reference
  }
}
