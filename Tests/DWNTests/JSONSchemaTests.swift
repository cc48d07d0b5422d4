import DWN
import TestSupport
import Testing
import Wire

@Suite("JSON Schema")
struct JSONSchemaTests {
  /// A schema with values that conform and values that do not.
  struct Rule: CustomTestStringConvertible, Sendable {
    let schema: String
    let conforming: [String]
    let violating: [String]

    var testDescription: String { schema }

    init(_ schema: String, _ conforming: [String], not violating: [String]) {
      self.schema = schema
      self.conforming = conforming
      self.violating = violating
    }
  }

  static let rules = [
    Rule("{}", ["1", "null", "{}", #""x""#], not: []), Rule("true", ["1"], not: []),
    Rule("false", [], not: ["1", "null"]),
    Rule(#"{"type":"string"}"#, [#""""#], not: ["1", "null", "[]"]),
    Rule(#"{"type":"integer"}"#, ["1", "1.0", "-3", "1e3"], not: ["1.5", #""1""#, "true"]),
    Rule(#"{"type":"number"}"#, ["1", "1.5"], not: [#""1""#, "false"]),
    Rule(#"{"type":"boolean"}"#, ["true", "false"], not: ["0", #""true""#]),
    Rule(#"{"type":"null"}"#, ["null"], not: ["0", "{}"]),
    Rule(#"{"type":["string","null"]}"#, [#""x""#, "null"], not: ["1"]),
    Rule(#"{"enum":["a",1,null]}"#, [#""a""#, "1", "1.0", "null"], not: [#""b""#, "2", #""1""#]),
    Rule(#"{"const":{"a":[1,2]}}"#, [#"{"a":[1,2]}"#], not: [#"{"a":[2,1]}"#, "{}"]),
    Rule(#"{"minLength":2,"maxLength":3}"#, [#""ab""#, #""abc""#, #""é😀""#, "1"], not: [#""a""#, #""abcd""#]),
    Rule(#"{"minimum":1,"maximum":65535}"#, ["1", "65535", #""0""#], not: ["0", "65536", "0.5"]),
    Rule(#"{"exclusiveMinimum":0,"exclusiveMaximum":1}"#, ["0.5"], not: ["0", "1", "-1"]),
    Rule(#"{"properties":{"a":{"type":"integer"}}}"#, ["{}", #"{"a":1,"b":"x"}"#, "[]"], not: [#"{"a":"1"}"#]),
    Rule(#"{"properties":{"a":{}},"additionalProperties":false}"#, ["{}", #"{"a":1}"#], not: [#"{"b":1}"#]),
    Rule(#"{"additionalProperties":{"type":"array"}}"#, [#"{"x":[]}"#, "{}"], not: [#"{"x":1}"#]),
    Rule(#"{"required":["a","b"]}"#, [#"{"a":1,"b":null}"#, "[]"], not: [#"{"a":1}"#, "{}"]),
    Rule(#"{"items":{"type":"string"}}"#, ["[]", #"["a","b"]"#, "{}"], not: [#"["a",1]"#]),
    Rule(#"{"minItems":1,"maxItems":2}"#, ["[1]", "[1,2]", "{}"], not: ["[]", "[1,2,3]"]),
    Rule(
      #"{"uniqueItems":true}"#, ["[]", #"[1,"1",true,[1]]"#, #"[{"a":1},{"a":2}]"#],
      not: ["[1,1.0]", #"[{"a":1,"b":2},{"b":2,"a":1}]"#]),
    Rule(#"{"uniqueItems":false}"#, ["[1,1]"], not: []),
    Rule(#"{"contains":{"const":1}}"#, ["[1]", "[2,1]", "{}"], not: ["[]", "[2]"]),
    Rule(
      #"{"contains":{"const":1},"minContains":2,"maxContains":3}"#, ["[1,1]", "[1,0,1,1]"], not: ["[1]", "[1,1,1,1]"]),
    Rule(#"{"contains":{"const":1},"minContains":0}"#, ["[]", "[2]"], not: []),
    Rule(#"{"contains":{"const":1},"maxContains":0,"minContains":0}"#, ["[]", "[2]"], not: ["[1]"]),
    Rule(#"{"pattern":"^[a-z]+$"}"#, [#""abc""#, "1"], not: [#""""#, #""aBc""#]),
    Rule(
      #"{"type":"string","format":"ipv4","title":"x","description":"y","$comment":"z","default":1}"#, [#""anything""#],
      not: ["1"]),
  ]

  @Test("a rule accepts what conforms and refuses what does not", arguments: rules)
  func rule(rule: Rule) throws {
    let schema = try JSONSchema(try JSONValue(parsing: rule.schema))
    for text in rule.conforming {
      #expect(throws: Never.self, "\(text)") { try schema.check(try JSONValue(parsing: text)) }
    }
    for text in rule.violating {
      #expect(throws: JSONSchemaError.self, "\(text)") { try schema.check(try JSONValue(parsing: text)) }
    }
  }

  @Test("a violation names its place as a JSON Pointer and what is asked for, and not the value")
  func places() throws {
    let schema = try JSONSchema([
      "type": "object", "required": ["rules"], "additionalProperties": false,
      "properties": [
        "rules": [
          "type": "array", "items": ["type": "object", "properties": ["a/b~c": ["enum": ["accept", "drop"]]]],
        ]
      ],
    ])
    func violation(_ value: JSONValue) -> String? {
      do { try schema.check(value) } catch { return "\(error)" }
      return nil
    }
    #expect(violation(["rules": [[:], ["a/b~c": "secret"]]]) == #"/rules/1/a~1b~0c must be "accept" or "drop""#)
    #expect(violation([:]) == #"the top must have the member "rules""#)
    #expect(violation(["rules": [], "more": 1]) == "/more must not be there")
    #expect(violation(["rules": "x"]) == "/rules must be of type array")
    #expect(violation(["rules": []]) == nil)
  }

  @Test(
    "a schema with an unknown or meaningless keyword is not compiled",
    arguments: [
      ("1", ""), (#"{"$ref":"x"}"#, "/$ref"), (#"{"anyOf":[]}"#, "/anyOf"),
      (#"{"patternProperties":{}}"#, "/patternProperties"),
      (#"{"type":"text"}"#, "/type"), (#"{"type":[]}"#, "/type"), (#"{"type":1}"#, "/type"), (#"{"enum":[]}"#, "/enum"),
      (#"{"enum":1}"#, "/enum"), (#"{"minLength":-1}"#, "/minLength"), (#"{"maxItems":1.5}"#, "/maxItems"),
      (#"{"minimum":"1"}"#, "/minimum"), (#"{"uniqueItems":1}"#, "/uniqueItems"), (#"{"required":"a"}"#, "/required"),
      (#"{"required":["a","a"]}"#, "/required"), (#"{"required":[1]}"#, "/required"),
      (#"{"properties":[]}"#, "/properties"),
      (#"{"properties":{"a":{"items":{"x":1}}}}"#, "/properties/a/items/x"), (#"{"items":[{}]}"#, "/items"),
      (#"{"additionalProperties":1}"#, "/additionalProperties"), (#"{"contains":{"type":"x"}}"#, "/contains/type"),
      (#"{"pattern":"("}"#, "/pattern"), (#"{"pattern":1}"#, "/pattern"),
    ])
  func invalid(text: String, place: String) throws {
    let json = try JSONValue(parsing: text)
    do {
      _ = try JSONSchema(json)
      Issue.record("compiled")
    } catch {
      guard case .invalidSchema(let found, _) = error else { throw error }
      #expect(found == place)
    }
  }

  @Test(
    "tags are checked as the directive says",
    arguments: [
      (#"{"protocol":"p","contextId":"c","epoch":0}"#, true), (#"{"protocol":"p","contextId":"c"}"#, false),
      (#"{"protocol":"p","contextId":"c","epoch":"0"}"#, false),
      (#"{"protocol":"p","contextId":"c","epoch":1.5}"#, false),
      (#"{"protocol":"p","contextId":"c","epoch":0,"more":1}"#, false), ("{}", false), ("[]", false),
    ])
  func tags(text: String, conforms: Bool) throws {
    let schema = try JSONSchema(tags: [
      "$requiredTags": ["protocol", "contextId", "epoch"], "$allowUndefinedTags": false, "protocol": ["type": "string"],
      "contextId": ["type": "string"], "epoch": ["type": "integer"],
    ])
    let tags = try JSONValue(parsing: text)
    if conforms {
      #expect(throws: Never.self) { try schema.check(tags) }
    } else {
      #expect(throws: JSONSchemaError.self) { try schema.check(tags) }
    }
  }

  @Test("tags that are not named are refused unless the directive allows them")
  func undefinedTags() throws {
    #expect(throws: JSONSchemaError.self) { try JSONSchema(tags: ["a": ["type": "string"]]).check(["b": 1]) }
    #expect(throws: Never.self) {
      try JSONSchema(tags: ["$allowUndefinedTags": true, "a": ["type": "string"]]).check(["b": 1])
    }
  }

  @Test("an array tag has rules for its items")
  func arrayTag() throws {
    let schema = try JSONSchema(tags: [
      "list": [
        "type": "array", "items": ["type": "string", "maxLength": 2], "contains": ["type": "string", "enum": ["a"]],
        "minContains": 1, "maxContains": 2, "minItems": 1, "maxItems": 3, "uniqueItems": true,
      ]
    ])
    #expect(throws: Never.self) { try schema.check(["list": ["a", "bb"]]) }
    for list in [[], ["b"], ["a", "a"], ["a", "ccc"], ["a", "b", "c", "d"], ["a", 1]] as [JSONValue] {
      #expect(throws: JSONSchemaError.self) { try schema.check(["list": list]) }
    }
  }

  @Test(
    "a directive that a stranger could abuse is not compiled",
    arguments: [
      #"{"a":{"type":"string","pattern":"(a+)+$"}}"#, #"{"a":{"type":"object"}}"#, #"{"a":{"type":["string","null"]}}"#,
      #"{"a":{"enum":["x"]}}"#, #"{"a":true}"#, #"{"a":{"type":"array","items":{"type":"array"}}}"#,
      #"{"a":{"type":"array","items":{"type":"boolean"}}}"#,
      #"{"a":{"type":"array","items":{"type":"string","items":{}}}}"#,
      #"{"a":{"type":"string","format":"x"}}"#, #"{"a":{"type":"string","const":"x"}}"#, #"{"$requiredTags":"a"}"#,
      #"{"$allowUndefinedTags":"true"}"#, #"{"$other":{"type":"string"}}"#,
    ])
  func directive(text: String) throws {
    let directive = try #require(try JSONValue(parsing: text).object)
    #expect(throws: JSONSchemaError.self) { try JSONSchema(tags: directive) }
  }

  @Test("random values are checked without a trap")
  func randomValues() throws {
    let random = SeededRandom(.random(in: 0...(.max)))
    let schemas = try Self.rules.map { try JSONSchema(try JSONValue(parsing: $0.schema)) }
    for _ in 0..<300 {
      let text = (0..<Int(random.uniform(below: 20))).map { _ in
        Array("[]{}\":,a1.-tru0 ".utf8)[Int(random.uniform(below: 16))]
      }
      guard let value = try? JSONValue(parsing: text) else { continue }
      for schema in schemas { _ = try? schema.check(value) }
    }
  }
}

@Suite("Patterns of schemas")
struct SchemaPatternTests {
  private func matches(_ pattern: String, _ text: String) throws -> Bool {
    let schema = try JSONSchema(["pattern": .string(pattern)])
    do { try schema.check(.string(text)) } catch { return false }
    return true
  }

  @Test(
    "a pattern matches what it says",
    arguments: [
      ("", "x", true), ("a", "xay", true), ("^a", "xay", false), ("^a$", "a", true), ("^a$", "a\n", false),
      ("a$", "ba", true),
      ("^$", "", true), ("^$", "x", false), (".", "", false), (".", "😀", true), ("^.$", "é", true), ("^a?$", "", true),
      ("^a?$", "aa", false), ("^a*$", "aaaa", true), ("^a+$", "", false), ("^a{3}$", "aaa", true),
      ("^a{3}$", "aa", false),
      ("^a{2,}$", "a", false), ("^a{2,}$", "aaaaa", true), ("^a{1,2}$", "aaa", false), ("^a{0,2}$", "", true),
      ("^(ab|c)+$", "abcab", true), ("^(ab|c)+$", "aba", false), ("^(|a)b$", "b", true), ("^[a-c]$", "b", true),
      ("^[a-c]$", "d", false), ("^[^a-c]$", "b", false), ("^[^a-c]$", "d", true), ("^[a-z._-]+$", "a-b.c_", true),
      ("^[\\]\\\\]$", "]", true), ("^\\d{2}\\.$", "42.", true), ("^\\d$", "x", false), ("^a|b$", "ax", true),
      ("^a|b$", "xb", true),
      ("(^a){0,1}b", "xb", true), ("^(a*)*$", "aaab", false), ("^(a*)*$", "aaa", true),
      ("[0-9]{1,3}(\\.[0-9]{1,3}){3}", "10.0.0.1", true),
      ("^did:[a-z0-9]+:[A-Za-z0-9._:%-]+$", "did:jwk:eyJ", true),
      ("^did:[a-z0-9]+:[A-Za-z0-9._:%-]+$", "did:jwk:", false),
      ("^https://[^/?#@]+:[0-9]{1,5}$", "https://192.0.2.1:8787", true),
      ("^https://[^/?#@]+:[0-9]{1,5}$", "https://a/b:1", false),
    ])
  func match(pattern: String, text: String, isMatch: Bool) throws {
    #expect(try matches(pattern, text) == isMatch)
  }

  @Test("nothing, repeated as often as one likes, is nothing, and takes no time", .timeLimit(.minutes(1)))
  func repeatedNothing() throws {
    let nothing = String(repeating: "(", count: 12) + String(repeating: "){1000}", count: 12)
    #expect(try matches("^\(nothing)a$", "a"))
    #expect(try !matches("^\(nothing)a$", "b"))
    #expect(try matches("^((a{0}){1000}){1000}$", ""))
  }

  @Test(
    "a form that is not supported is refused",
    arguments: [
      "(", ")", "a)", "(a", "[", "[]", "[a", "[z-a]", "[[:alpha:]]", "*", "+a", "?", "a**", "a{", "a{,2}", "a{2,1}",
      "a{x}", "a{1001}",
      "{2}", "\\", "\\w", "\\1", "\\b", "(?:a)", "(?=a)", "a]", "a}", "[\\w]", "((a{1000}){1000}){1000}",
      String(repeating: "(", count: 1000) + String(repeating: ")", count: 1000), String(repeating: "a", count: 5000),
    ])
  func unsupported(pattern: String) {
    #expect(throws: JSONSchemaError.self) { try JSONSchema(["pattern": .string(pattern)]) }
  }

  @Test("patterns that let other engines hang take their steady time")
  func steady() throws {
    let text = String(repeating: "a", count: 2000)
    #expect(try !matches("^(a+)+$", text + "b"))
    #expect(try !matches("^(a|a)*$", text + "b"))
    #expect(try !matches("^(a?){20}a{20}$", text))
  }
}
