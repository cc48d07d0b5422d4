import Mesh
import TestSupport
import Testing
import Wire

@Suite("Policies")
struct ACLPolicyTests {
  private func meaning(_ rules: String, _ defaultAction: String? = nil) throws -> ACLPolicy.Meaning {
    let action = defaultAction.map { #","defaultAction":"\#($0)""# } ?? ""
    return try ACLPolicy(parsing: Array(#"{"version":1\#(action),"rules":[\#(rules)]}"#.utf8)).meaning
  }

  private static let all = #"{"action":"accept","src":["*"],"dst":["*"]}"#
  private static let none = #"{"action":"drop","src":["*"],"dst":["*"]}"#
  private static let some = #"{"action":"accept","src":["group:ops"],"dst":["*"]}"#
  private static let less = #"{"action":"drop","src":["did:example:a"],"dst":["*"]}"#

  @Test("the first policy of a network accepts everything")
  func first() throws {
    #expect(ACLPolicy.acceptAll.meaning == .acceptsAll)
    #expect(
      String(decoding: try ACLPolicy.acceptAll.encoded(), as: UTF8.self)
        == #"{"version":1,"defaultAction":"accept","rules":[{"action":"accept","src":["*"],"dst":["*"]}]}"#)
    #expect(try ACLPolicy(parsing: ACLPolicy.acceptAll.encoded()) == ACLPolicy.acceptAll)
  }

  @Test(
    "the recorded policies accept everything",
    .enabled(if: RecordedNetwork.isAtHand, Comment(rawValue: Fixtures.skipped)))
  func recorded() throws {
    let network = try RecordedNetwork()
    let cipher = try network.cipher(of: "anchor")
    for (name, version) in [("policy version 1", 1), ("policy version 2", 2)] as [(String, Int64)] {
      let record = try network.record(name)
      let policy = try ACLPolicy(parsing: cipher.open(record.write, data: record.data))
      #expect(policy.version == version)
      #expect(policy.meaning == .acceptsAll)
    }
  }

  @Test("a rule for every packet decides, unless a rule before it does otherwise")
  func order() throws {
    #expect(try meaning(Self.all) == .acceptsAll)
    #expect(try meaning(Self.none, "accept") == .deniesAll)
    #expect(try meaning("\(Self.all),\(Self.none)") == .acceptsAll)
    #expect(try meaning("\(Self.none),\(Self.all)") == .deniesAll)
    #expect(try meaning("\(Self.some),\(Self.all)") == .acceptsAll)
    #expect(try meaning("\(Self.less),\(Self.none)") == .deniesAll)
    #expect(try meaning("\(Self.less),\(Self.all)") == .notEvaluated)
    #expect(try meaning("\(Self.some),\(Self.none)") == .notEvaluated)
  }

  @Test("without a rule for every packet the default action decides, which is drop")
  func defaults() throws {
    #expect(try meaning("", "accept") == .acceptsAll)
    #expect(try meaning("", "drop") == .deniesAll)
    #expect(try meaning("") == .deniesAll)
    #expect(try meaning(Self.some, "accept") == .acceptsAll)
    #expect(try meaning(Self.some) == .notEvaluated)
    #expect(try meaning(Self.less) == .deniesAll)
    #expect(try meaning(Self.less, "accept") == .notEvaluated)
    #expect(try ACLPolicy(parsing: Array(#"{"version":1,"rules":null,"groups":null}"#.utf8)).meaning == .deniesAll)
  }

  @Test(
    "a rule with a protocol, ports, or a member that this version does not know is not for every packet",
    arguments: [
      #""proto":"tcp""#, #""proto":"gre""#, #""srcPorts":["22"]"#, #""dstPorts":["1-65535"]"#, #""only":"weekdays""#,
    ])
  func narrower(member: String) throws {
    #expect(try meaning(#"{"action":"accept","src":["*"],"dst":["*"],\#(member)}"#) == .notEvaluated)
  }

  @Test(
    "absent narrowings may be spelled out",
    arguments: [#""proto":"*""#, #""proto":"""#, #""proto":null"#, #""srcPorts":[]"#, #""dstPorts":null"#])
  func spelledOut(member: String) throws {
    #expect(try meaning(#"{"action":"accept","src":["a","*"],"dst":["*"],\#(member)}"#) == .acceptsAll)
  }

  @Test("a star among other matchers is a star; no star is none")
  func stars() throws {
    #expect(try meaning(#"{"action":"accept","src":["*"],"dst":["10.0.0.0/8"]}"#) == .notEvaluated)
    #expect(try meaning(#"{"action":"accept","src":["**"],"dst":["*"]}"#) == .notEvaluated)
  }

  @Test(
    "a policy that does not parse is refused",
    arguments: [
      "", "[]", "{}", #"{"version":0,"rules":[]}"#, #"{"version":"1","rules":[]}"#, #"{"version":1,"rules":{}}"#,
      #"{"version":1,"rules":[3]}"#, #"{"version":1,"rules":[{"action":"allow","src":["*"],"dst":["*"]}]}"#,
      #"{"version":1,"rules":[{"action":"accept","src":[],"dst":["*"]}]}"#,
      #"{"version":1,"rules":[{"action":"accept","dst":["*"]}]}"#,
      #"{"version":1,"rules":[{"action":"accept","src":["*"],"dst":[1]}]}"#,
      #"{"version":1,"rules":[{"action":"accept","src":["*"],"dst":["*"],"dstPorts":[22]}]}"#,
      #"{"version":1,"rules":[],"defaultAction":"deny"}"#, #"{"version":1,"rules":[],"groups":{"a":"did:example:a"}}"#,
      #"{"version":1,"rules":[],"groups":{"a":[1]}}"#,
    ])
  func malformed(text: String) {
    #expect(throws: MeshError.self) { try ACLPolicy(parsing: Array(text.utf8)) }
  }

  @Test(
    "what upstream accepts is read, with its version, groups and rules",
    .enabled(if: Fixtures.have("mesh/acl-filters.json"), Comment(rawValue: Fixtures.skipped)))
  func upstream() throws {
    let cases = try #require(try Fixtures.json("mesh/acl-filters.json")["cases"]?.array)
    var read = 0
    for vector in cases {
      guard let json = vector["policy"], json.object != nil else { continue }
      guard let policy = try? ACLPolicy(parsing: json.encoded) else { continue }
      #expect(policy.version == json["version"]?.integer)
      #expect(policy.rules.count == json["rules"]?.array?.count ?? 0)
      #expect(policy.groups.count == json["groups"]?.object?.count ?? 0)
      #expect(policy.json == json)
      if vector["case"] == "wildcard accept" { #expect(policy.meaning == .acceptsAll) }
      read += 1
    }
    #expect(read > 15)
  }
}
