import DWN
import TestSupport
import Testing

@Suite("Identifiers")
struct IdentifierTests {
  @Test(
    "a record id is letters, digits and hyphens",
    arguments: ["", "a/b", "a_b", "é", "\u{212a}", String(repeating: "a", count: 65)])
  func recordID(text: String) {
    #expect(RecordID(text) == nil)
    #expect(RecordID(String(repeating: "a", count: 64)) != nil)
  }

  @Test("a context is a chain of record ids from the root to the record")
  func contextID() throws {
    let context = try #require(ContextID("a/b/c"))
    #expect(context.depth == 3 && context.root.text == "a" && context.record.text == "c")
    #expect(context.parent?.text == "a/b" && ContextID("a")?.parent == nil)
    #expect(context.prefix(1)?.text == "a" && context.prefix(3) == context)
    #expect(context.prefix(0) == nil && context.prefix(4) == nil)
    #expect(try ContextID(#require(context.parent), #require(RecordID("c"))) == context)
  }

  @Test("a context contains itself and what lies below it, and not what begins alike")
  func containment() throws {
    let context = try #require(ContextID("a/b"))
    for (text, isIn) in [("a/b", true), ("a/b/c", true), ("a/bc", false), ("a", false), ("b", false)] {
      #expect(try context.contains(#require(ContextID(text))) == isIn)
    }
  }

  @Test(
    "a malformed context is refused",
    arguments: ["", "/", "a/", "/a", "a//b", "a/é", "a b", String(repeating: "a/", count: 301)])
  func malformedContext(text: String) {
    #expect(ContextID(text) == nil)
  }

  @Test("a protocol path is names of letters, at most ten")
  func protocolPath() {
    let path: ProtocolPath = "network/node/nodeInfo"
    #expect(path.depth == 3 && path.typeName == "nodeInfo" && path.parent == "network/node" && !path.isControl)
    #expect(("$encryption/audience" as ProtocolPath).isControl)
    #expect(ProtocolPath(Array(repeating: "a", count: 10).joined(separator: "/")) != nil)
    for text in [
      "", "/", "a/", "a1", "a_b", "$x", "$encryption", "$encryption/x", "é",
      Array(repeating: "a", count: 11).joined(separator: "/"),
    ] {
      #expect(ProtocolPath(text) == nil, "\(text)")
    }
  }
}
