import Identity
@testable import Mesh
import TestSupport
import Testing
import Wire

@Suite("Node numbers")
struct NodeNumberTests {
  static let vectors = "mesh/node-identity.json"

  @Test(
    "numbers and stable ids are those of upstream",
    .enabled(if: Fixtures.have(vectors), Comment(rawValue: Fixtures.skipped)))
  func numbers() throws {
    let cases = try #require(try Fixtures.json(Self.vectors)["vectors"]?.array)
    #expect(!cases.isEmpty)
    for vector in cases {
      let did = try #require(vector["did"]?.string)
      let node = NodeNumber(did: did, network: try #require(vector["networkRecordId"]?.string))
      #expect(Int64(node.number) == vector["nodeID"]?.integer)
      #expect(node.stableID == vector["stableID"]?.string)
    }
  }
}
