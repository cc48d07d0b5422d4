import Testing
import TestSupport
import Wire

@Suite("JSON values")
struct JSONValueTests {
  @Test("members keep their order, and it does not matter for equality")
  func order() throws {
    let value = try JSONValue(parsing: #"{"z":1,"aa":2,"b":3}"#)
    #expect(value.object?.names == ["z", "aa", "b"])
    #expect(value.text == #"{"z":1,"aa":2,"b":3}"#)
    #expect(value == ["b": 3, "z": 1, "aa": 2])
    #expect(value.hashValue == JSONValue(dictionaryLiteral: ("b", 3), ("z", 1), ("aa", 2)).hashValue)
  }

  @Test("setting a member keeps its place, removing one closes the gap")
  func members() {
    var object: JSONObject = ["a": 1, "b": 2, "c": 3]
    object["a"] = 4
    object["b"] = nil
    object["d"] = 5
    #expect(JSONValue.object(object).text == #"{"a":4,"c":3,"d":5}"#)
    #expect(object["c"] == 3)
    #expect(object["b"] == nil)
    #expect(!object.contains("b"))
  }

  @Test("null is not an absent member")
  func null() {
    let object: JSONObject = ["a": .null]
    #expect(object.contains("a"))
    #expect(JSONValue.object(object) != [:])
  }

  @Test("an integer is not the text, the boolean or the fraction that resembles it")
  func types() {
    #expect(JSONValue.integer(1) != .string("1"))
    #expect(JSONValue.integer(1) != .bool(true))
    #expect(JSONValue.integer(0) != .null)
    #expect(JSONValue.integer(1) != .number(1.5))
  }

  @Test("texts are escaped as JSON.stringify does it")
  func escaping() {
    let value = JSONValue.string("\"\\/\u{8}\u{c}\n\r\t\u{1}\u{1f}<é😀\u{2028}")
    #expect(value.text == "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f<é😀\u{2028}\"")
    #expect(value.asciiText == #""\"\\/\b\f\n\r\t\u0001\u001f<\u00e9\ud83d\ude00\u2028""#)
  }

  @Test("the three forms of writing are read back as the same value")
  func roundTrip() throws {
    let random = SeededRandom(.random(in: 0...(.max)))
    for _ in 0..<500 {
      let value = Self.random(depth: 5, from: random)
      #expect(try JSONValue(parsing: value.text) == value, "seed \(random.seed)")
      #expect(try JSONValue(parsing: value.asciiText) == value, "seed \(random.seed)")
      #expect(try JSONValue(parsing: value.prettyText) == value, "seed \(random.seed)")
      #expect(value.asciiText.utf8.allSatisfy { (0x20...0x7e).contains($0) }, "seed \(random.seed)")
    }
  }

  @Test("the form for people has a line for each member")
  func pretty() {
    let value: JSONValue = ["a": [1, 2], "b": [:], "c": []]
    #expect(value.prettyText == "{\n  \"a\": [\n    1,\n    2\n  ],\n  \"b\": {},\n  \"c\": []\n}")
  }

  static func random(depth: Int, from random: SeededRandom) -> JSONValue {
    func text() -> String {
      let scalars: [Unicode.Scalar] = [
        "a", "K", "\u{212a}", "é", "\u{301}", "\"", "\\", "\n", "\u{0}", "😀", "\u{2028}", "z",
      ]
      var result = ""
      for _ in 0..<random.uniform(below: 6) {
        result.unicodeScalars.append(scalars[Int(random.uniform(below: UInt64(scalars.count)))])
      }
      return result
    }
    switch random.uniform(below: depth == 0 ? 5 : 7) {
    case 0: return .null
    case 1: return .bool(random.uniform(below: 2) == 0)
    case 2:
      let magnitude =
        Int64(random.uniform(below: UInt64(JSONValue.greatestInteger) + 1)) >> Int64(random.uniform(below: 53))
      return .integer(random.uniform(below: 2) == 0 ? magnitude : -magnitude)
    case 3: return .number(Double(random.uniform(below: 1 << 40)) + 0.25)
    case 4: return .string(text())
    case 5: return .array((0..<random.uniform(below: 4)).map { _ in Self.random(depth: depth - 1, from: random) })
    default:
      return .object(
        JSONObject((0..<random.uniform(below: 5)).map { _ in (text(), Self.random(depth: depth - 1, from: random)) }))
    }
  }
}
