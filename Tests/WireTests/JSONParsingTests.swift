import Testing
import TestSupport
import Wire

@Suite("JSON parsing")
struct JSONParsingTests {
  @Test(
    "a text of RFC 8259 gives its value",
    arguments: [
      ("null", JSONValue.null), ("true", true), (" false ", false), ("0", 0), ("-0", 0), ("-17", -17), ("1.0", 1),
      ("1e3", 1000), ("1.5E+1", 15), ("150e-1", 15), ("-0.0", 0), ("9007199254740991", 9_007_199_254_740_991),
      ("-9007199254740991", -9_007_199_254_740_991), ("1.5", .number(1.5)), ("-2.5e-3", .number(-0.0025)), ("\"\"", ""),
      ("[]", []), ("{}", [:]), ("[1,[2,{\"a\":null}]]", [1, [2, ["a": .null]]]),
      ("\t{ \"b\" : 1 ,\r\n\"a\":[ ] }\n", ["b": 1, "a": []]), ("\"\\u00e9\\n\\/\\\"\\\\\"", "é\n/\"\\"),
      ("\"\\ud83d\\ude00\"", "😀"), ("\"\u{7f}\"", "\u{7f}"), ("\"\\u0000\"", "\0"),
    ] as [(String, JSONValue)])
  func accepted(text: String, value: JSONValue) throws {
    #expect(try JSONValue(parsing: text) == value)
  }

  @Test(
    "a text that is not strict JSON is refused",
    arguments: [
      "", " ", "nul", "nulll", "True", "tru e", "+1", "01", "-", "-a", ".5", "1.", "1.e3", "1e", "1e+", "0x10", "1 2",
      "NaN", "Infinity", "[", "]", "[1,]", "[,1]", "[1 2]", "{", "}", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{a:1}",
      "{\"a\" 1}", "{1:1}", "'a'", "\"", "\"a", "\"\n\"", "\"\t\"", "\"\\\"", "\"\\x41\"", "\"\\u12\"", "\"\\u12g4\"",
      "\"\\u+123\"", "\"\\ud800\"", "\"\\ud800a\"", "\"\\ud800\\n\"", "\"\\ud800\\u0041\"", "\"\\udc00\"",
      "\"\\udc00\\ud800\"", "// x\n1", "1 // x", "\u{feff}1", "\u{a0}1",
    ])
  func refused(text: String) {
    #expect(throws: JSONError.self) { try JSONValue(parsing: text) }
  }

  @Test(
    "a number that JSON programs do not agree on is refused",
    arguments: [
      "9007199254740992", "-9007199254740992", "1e16", "99999999999999999999", "1e400", "-1e400", "9007199254740993.0",
    ])
  func number(text: String) {
    #expect(throws: JSONError.numberOutOfRange(offset: 0)) { try JSONValue(parsing: text) }
  }

  @Test("a number spelled with thousands of digits is refused")
  func longNumber() {
    #expect(throws: JSONError.numberOutOfRange(offset: 0)) {
      try JSONValue(parsing: "0." + String(repeating: "1", count: 5000))
    }
  }

  @Test("a second member of the same name is refused, also when it is spelled with escapes")
  func duplicates() {
    #expect(throws: JSONError.duplicateMember("a")) { try JSONValue(parsing: #"{"a":1,"b":2,"a":1}"#) }
    #expect(throws: JSONError.duplicateMember("a")) { try JSONValue(parsing: #"{"a":1,"\u0061":2}"#) }
    #expect(throws: JSONError.duplicateMember("x")) { try JSONValue(parsing: #"[{"o":{"x":1,"x":1}}]"#) }
  }

  @Test("names and texts that only look alike are different")
  func canonicalEquivalents() throws {
    let object = try #require(try JSONValue(parsing: #"{"\u00e9":1,"e\u0301":2,"K":3,"\u212a":4}"#).object)
    #expect(object.count == 4)
    #expect(object["K"] == 3)
    #expect(JSONValue.string("\u{212a}") != "K")
    #expect(JSONValue.string("\u{e9}") != JSONValue.string("e\u{301}"))
    #expect(Set([JSONValue.string("\u{e9}"), .string("e\u{301}")]).count == 2)
  }

  @Test("nesting is allowed up to the limit and not beyond")
  func depth() throws {
    func nested(_ depth: Int) -> String {
      String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
    }
    #expect(throws: Never.self) { try JSONValue(parsing: nested(16)) }
    #expect(throws: JSONError.tooDeep(limit: 16)) { try JSONValue(parsing: nested(17)) }
    #expect(throws: JSONError.tooDeep(limit: 16)) {
      try JSONValue(parsing: String(repeating: "[{\"a\":", count: 200_000))
    }
    #expect(throws: JSONError.tooDeep(limit: 2)) { try JSONValue(parsing: #"{"a":{"b":{}}}"#, depth: 2) }
  }

  @Test("a text beyond the limit is refused before it is read")
  func size() {
    #expect(throws: JSONError.tooLarge(limit: 4)) { try JSONValue(parsing: Array("12345".utf8), limit: 4) }
    #expect(throws: Never.self) { try JSONValue(parsing: Array("1234".utf8), limit: 4) }
  }

  @Test(
    "bytes that are not UTF-8 are refused",
    arguments: [[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf5, 0x80, 0x80, 0x80], [0xe2, 0x82], [0x80]] as [[UInt8]])
  func utf8(bytes: [UInt8]) {
    #expect(throws: JSONError.invalidUTF8) { try JSONValue(parsing: [0x22] + bytes + [0x22]) }
    #expect(throws: JSONError.self) { try JSONValue(parsing: bytes) }
  }

  @Test("random bytes never trap, and what is accepted is written and read back the same")
  func randomBytes() throws {
    let random = SeededRandom(.random(in: 0...(.max)))
    let alphabet = Array("{}[]\",:\\ue0123456789.-+Eabtrfalsn/ \n\u{1}".utf8) + [0xc3, 0xa9, 0xff]
    for _ in 0..<20_000 {
      let text = (0..<Int(random.uniform(below: 24))).map { _ in
        alphabet[Int(random.uniform(below: UInt64(alphabet.count)))]
      }
      if let value = try? JSONValue(parsing: text) {
        #expect(try JSONValue(parsing: value.encoded) == value, "seed \(random.seed)")
      }
    }
    for _ in 0..<2_000 {
      _ = try? JSONValue(parsing: random.bytes(Int(random.uniform(below: 64))))
    }
  }

  @Test("every prefix of a message is refused without a trap")
  func prefixes() throws {
    let text = Array(#"{"a":[1,-2.5e3,"x\u00e9\ud83d\ude00",null,true,{"b":{}}],"c":"é"}"#.utf8)
    #expect(throws: Never.self) { try JSONValue(parsing: text) }
    for count in 0..<text.count {
      #expect(throws: JSONError.self) { try JSONValue(parsing: text.prefix(count)) }
    }
  }
}
