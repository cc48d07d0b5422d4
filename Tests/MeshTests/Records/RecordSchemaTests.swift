import DWN
import Mesh
import TestSupport
import Testing
import Wire

@Suite("Schemas")
struct RecordSchemaTests {
  @Test("a schema has the URI that the definition gives its type", arguments: RecordSchema.allCases)
  func uri(schema: RecordSchema) {
    let uris = MeshProtocol.paths.compactMap(MeshProtocol.schema(of:))
    if schema == .contextKey {
      #expect(schema.json["$id"] == nil)
    } else {
      #expect(schema.json["$id"]?.string.map(uris.contains) == true)
    }
  }

  @Test(
    "every schema refuses what is not an object, and an object with nothing in it", arguments: RecordSchema.allCases)
  func nothing(schema: RecordSchema) {
    for json: JSONValue in [.null, 3, "x", [], [:]] {
      #expect(throws: MeshError.self) { try schema.check(json) }
    }
  }

  @Test("unknown members are not written", arguments: 1...20 as ClosedRange<UInt64>)
  func unknown(seed: UInt64) throws {
    let random = RandomPayloads(seed: seed)
    let payloads: [any MeshPayload] = [
      random.network(), random.node(), random.member(), random.nodeInfo(), random.endpoint(), random.relay(),
      random.relayName(), random.head(),
      ACLPolicy.acceptAll,
    ]
    for payload in payloads {
      let schema = type(of: payload).schema
      try schema.check(payload.json)
      var more = try #require(payload.json.object)
      more["unknown"] = 1
      #expect(throws: MeshError.self, "\(schema) seed \(seed)") { try schema.check(.object(more)) }
    }
  }

  @Test("names beyond their length are not written")
  func lengths() {
    let long = String(repeating: "x", count: 300)
    #expect(throws: MeshError.self) { try NetworkRecord(name: long).encoded() }
    #expect(throws: MeshError.self) { try NetworkRecord(name: "").encoded() }
    #expect(throws: MeshError.self) { try NodeInfoRecord(hostname: long, os: "linux").encoded() }
    #expect(throws: MeshError.self) { try NodeInfoRecord(hostname: "a", os: "plan9").encoded() }
    #expect(throws: MeshError.self) { try MemberRecord(addedAt: WallTime(seconds: 0), label: long).encoded() }
  }
}
