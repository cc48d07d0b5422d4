import TestSupport
import Testing
import Wire

/// The list of what the conformance files assert. A file or an assertion that is new must be taken up by a test, or its absence
/// explained here.
@Suite("Conformance manifests", .enabled(if: Fixtures.have("dwn/manifest.json"), "\(Fixtures.skipped)"))
struct ConformanceManifestTests {
  private static let tested: Set<String> = [
    "cid.json", "cid.dagpb.bytes", "cid.dagpb.stream", "jws.general.sign", "jws.general.verify", "jws.general.payload",
    "cid.message", "cid.descriptor", "descriptor.roundtrip", "spec.descriptorCid", "spec.cid.dagcbor",
    "spec.did.resolve",
    "spec.jws.verify", "jwe.envelope", "jwe.aead", "jwe.keywrap", "jwe.decrypt", "jwe.seal",
    // In DWNNodeTests, since it takes a node to answer.
    "records.tags.query", "permissions.grant-query", "messages-query.replies",
  ]

  /// The synchronisation that two files are about has been taken out of the protocol.
  private static let untested: Set<String> = ["messages-sync.replies", "state-index.operations"]

  @Test(
    "every assertion of the manifests is known",
    arguments: [("dwn/manifest.json", "suites"), ("dwn/spec/manifest.json", "sets")])
  func assertions(path: String, member: String) throws {
    let entries = try #require(try Fixtures.json(path)[member]?.array)
    #expect(!entries.isEmpty)
    for entry in entries {
      for assertion in try #require(entry["assertions"]?.array).compactMap(\.string) {
        #expect(Self.tested.contains(assertion) || Self.untested.contains(assertion), "\(assertion)")
      }
    }
  }
}
