import DWN
import TestSupport
import Testing
import Wire

/// A case of a file of `dwn/`, named by its id.
struct ConformanceCase: CustomTestStringConvertible, Sendable {
  let json: JSONValue

  var testDescription: String { json["id"]?.string ?? json["name"]?.string ?? "?" }
  subscript(_ name: String) -> JSONValue? { json[name] }

  /// Traps where the file is there and has none.
  static func all(_ path: String, _ member: String = "cases") -> [ConformanceCase] {
    guard let json = try? Fixtures.json(path) else { return [] }
    guard let cases = json[member]?.array, !cases.isEmpty else { fatalError("\(path) has no \(member)") }
    return cases.map { ConformanceCase(json: $0) }
  }

  /// Of all files that assert something.
  static func all(asserting assertion: String) -> [ConformanceCase] {
    Conformance.cases(asserting: assertion).map { ConformanceCase(json: $0) }
  }
}

@Suite("CIDs of JSON values")
struct CIDTests {
  @Test(
    "a JSON value has the CID that other nodes compute",
    .enabled(if: Conformance.isHere, "\(Fixtures.skipped)"), arguments: ConformanceCase.all(asserting: "cid.json"))
  func json(vector: ConformanceCase) throws {
    #expect(CID(of: try #require(vector["value"])).text == vector["cid"]?.string)
  }

  @Test(
    "a JSON value has the DAG-CBOR of the specification",
    .enabled(if: Conformance.isHere, "\(Fixtures.skipped)"),
    arguments: ConformanceCase.all(asserting: "spec.cid.dagcbor"))
  func dagCBOR(vector: ConformanceCase) throws {
    let object = try #require(vector["object"])
    #expect(Hex.encode(DAGCBOR.encode(object)) == vector["verification"]?["dagCborHex"]?.string)
    #expect(CID(of: object).text == vector["expected"]?["cid"]?.string)
  }

  /// IPLD DAG-CBOR and RFC 8949 appendix A.
  @Test(
    "numbers take their shortest form, and fractions always 64 bits",
    arguments: [
      ("0", "00"), ("23", "17"), ("24", "1818"), ("255", "18ff"), ("256", "190100"), ("65535", "19ffff"),
      ("65536", "1a00010000"), ("4294967295", "1affffffff"), ("4294967296", "1b0000000100000000"),
      ("9007199254740991", "1b001fffffffffffff"), ("-1", "20"), ("-24", "37"), ("-25", "3818"), ("-257", "390100"),
      ("-9007199254740991", "3b001ffffffffffffe"), ("1.0", "01"), ("-0", "00"), ("-0.0", "00"), ("1e3", "1903e8"),
      ("1.5", "fb3ff8000000000000"), ("-4.1", "fbc010666666666666"), ("0.1", "fb3fb999999999999a"), ("null", "f6"),
      ("true", "f5"), ("false", "f4"), (#""""#, "60"), (#""é""#, "62c3a9"), ("[]", "80"), ("[1,[2]]", "82018102"),
      (#"{"aa":1,"b":2,"a":3,"ab":4}"#, "a46161036162026261610162616204"),
      (#"{"é":1,"zz":2,"a":3}"#, "a3616103627a7a0262c3a901"),
    ])
  func encoding(text: String, hex: String) throws {
    #expect(Hex.encode(DAGCBOR.encode(try JSONValue(parsing: text))) == hex)
  }

  @Test("a long array and a long text carry their count")
  func counts() {
    let items = JSONValue.array(Array(repeating: .null, count: 300))
    #expect(Hex.encode(DAGCBOR.encode(items).prefix(4)) == "99012cf6")
    #expect(Hex.encode(DAGCBOR.encode(.string(String(repeating: "x", count: 70000))).prefix(6)) == "7a0001117078")
  }

  @Test("the CID does not depend on the order of members or the spelling of numbers")
  func spelling() throws {
    let one = try JSONValue(parsing: #"{"a":1,"b":[1000,{"d":2,"c":0}]}"#)
    let other = try JSONValue(parsing: #"{"b":[1e3,{"c":-0.0,"d":2.0}],"a":1.0}"#)
    #expect(CID(of: one) == CID(of: other))
  }

  @Test("texts that only look alike have different CIDs")
  func canonicalEquivalents() {
    #expect(CID(of: .string("\u{e9}")) != CID(of: .string("e\u{301}")))
  }

  @Test("a CID has one spelling")
  func spellings() throws {
    let cid = CID(of: [:])
    #expect(cid.text == "bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua")
    #expect(CID(cid.text) == cid)
    #expect(cid.bytes.count == 36)
    for text in [
      cid.text.uppercased(), String(cid.text.dropLast()), cid.text + "a", "z" + cid.text.dropFirst(), "", "b",
      String(cid.text.dropLast()) + "b", "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzd1",
    ] {
      #expect(CID(text) == nil, "\(text)")
    }
  }
}

@Suite("CIDs of data")
struct DataCIDTests {
  private func data(of vector: ConformanceCase) throws -> [UInt8] {
    let data = try #require(vector["data"])
    switch data["encoding"]?.string {
    case "utf8": return Array(try #require(data["value"]?.string).utf8)
    case "hex": return try #require(data["value"]?.string.flatMap { Hex.decode($0) })
    case "base64url": return try #require(data["value"]?.string.flatMap { Base64.decode($0) })
    default:
      let count = Int(try #require(data["length"]?.integer))
      return [UInt8](repeating: UInt8(try #require(data["byte"]?.integer)), count: count)
    }
  }

  @Test(
    "data has the CID that other nodes compute, in one piece and in many",
    .enabled(if: Conformance.isHere, "\(Fixtures.skipped)"),
    arguments: ConformanceCase.all(asserting: "cid.dagpb.stream"))
  func vectors(vector: ConformanceCase) throws {
    let bytes = try data(of: vector)
    let cid = (vector["cid"] ?? vector["dataCid"])?.string
    #expect(DataCID.of(bytes).text == cid)
    for size in [1, 7, 1021, 262_143, 262_145] where bytes.count / size < 50_000 {
      var hasher = DataCID()
      var rest = bytes[...]
      while !rest.isEmpty {
        hasher.update(rest.prefix(size))
        rest = rest.dropFirst(size)
      }
      #expect(hasher.finalize().text == cid, "in pieces of \(size)")
    }
  }

  /// Computed with Python's hashlib from the UnixFS and DAG-PB specifications; piece `k` is 262,144 bytes of value `k % 251`, and
  /// what follows the last whole piece has the value 7.
  @Test(
    "the tree grows a level after one chunk and after 174",
    arguments: [
      (1, 0, "bafkreiekhhjkxu4ztk3tyng3er3ijhg56mb44oe3gwbgquhzu4afrg2ksa"),
      (1, 1, "bafybeiglo6zwnav4o4cmqtmsiobsehb5tdfl76rm7e5p5zg3yxufqykjae"),
      (2, 0, "bafybeihpejhfwayveufnpcn6yylyo6fs55y6mhpgcha3n5bpcwolmgewie"),
      (174, 0, "bafybeielwmypj5ttqwa4oxc3lfztoqxehmn5kkicdfsroyrpqhllqhsigm"),
      (174, 1, "bafybeigjyvrveyrmuzknrqeuv4zrdkpafszpwpfx4xln5iu4u4obwtdvcm"),
      (349, 5, "bafybeig26tnconzim46j3txxeehc6vmbzol6oonnizk2xlaphe6vqftmvy"),
    ])
  func tree(chunks: Int, rest: Int, cid: String) {
    var hasher = DataCID()
    for chunk in 0..<chunks { hasher.update([UInt8](repeating: UInt8(chunk % 251), count: DataCID.chunkSize)) }
    hasher.update([UInt8](repeating: 7, count: rest))
    #expect(hasher.size == UInt64(chunks * DataCID.chunkSize + rest))
    #expect(hasher.finalize().text == cid)
  }

  @Test("a chunk exactly is a raw leaf, and one byte more is a tree")
  func boundary() {
    #expect(DataCID.of([UInt8](repeating: 0x61, count: 262_144)).text.hasPrefix("bafkrei"))
    #expect(
      DataCID.of([UInt8](repeating: 0x61, count: 262_145)).text
        == "bafybeifwp2ckiq7kaefcrxkcalv6bs5x7e7ozrigy4ypvcqwetgnxfb2hi")
    #expect(DataCID.of([]).text == "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku")
  }
}
