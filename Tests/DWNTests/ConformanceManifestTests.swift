import Foundation
import TestSupport
import Testing
import Wire

/// The list of the conformance files, each with what becomes of it here. A file, a case or an assertion that is new must be taken up by a
/// test, or its absence explained.
@Suite("Conformance manifests", .enabled(if: Conformance.isHere, "\(Fixtures.skipped)"))
struct ConformanceManifestTests {
  /// Every assertion that a test takes its cases from.
  private static let tested: Set<String> = [
    "cid.json", "cid.dagpb.bytes", "cid.dagpb.stream", "jws.general.sign", "jws.general.verify", "jws.general.payload",
    "cid.message", "cid.descriptor", "descriptor.roundtrip", "spec.descriptorCid", "spec.cid.dagcbor",
    "spec.did.resolve", "spec.jws.verify", "jwe.envelope", "jwe.aead", "jwe.keywrap", "jwe.decrypt", "jwe.seal",
    // In DWNNodeTests, since it takes a node to answer.
    "records.tags.query", "permissions.grant-query", "messages-query.replies",
  ]

  /// The synchronisation that two files are about has been taken out of the protocol.
  private static let untested: Set<String> = ["messages-sync.replies", "state-index.operations"]

  /// How many cases each file has: those that must pass, those whose identifiers alone are compared, and those of the first kind that
  /// no manifest lists.
  private static let must = [
    "dwn/crypto/cid-json-values.json": 4, "dwn/crypto/cid-dag-pb-values.json": 4, "dwn/crypto/jws-general.json": 10,
    "dwn/crypto/jwe-encryption.json": 3, "dwn/dwn/protocols/permissions-protocol-records.json": 3,
    "dwn/dwn/messages/query-replies.json": 8, "dwn/dwn/records/tag-query-filters.json": 5,
    "dwn/dwn/protocols/permissions-grant-query.json": 3, "dwn/spec/cid/dag-cbor.json": 5,
    "dwn/spec/did/did-jwk.json": 2, "dwn/spec/did/did-key-ed25519.json": 2,
    "dwn/spec/crypto/jws-ed25519-rfc8037.json": 2,
  ]
  private static let identifiersAlone = [
    "dwn/dwn/messages/basic-interface-messages.json": 15, "dwn/dwn/messages/sync-descriptors.json": 8,
    "dwn/dwn/protocols/configure-definitions.json": 7, "dwn/spec/records/descriptor-cid.json": 1,
  ]
  private static let besideManifests: [String: (member: String, count: Int)] = [
    "dwn/spec/divergence/ledger.json": ("entries", 2), "dwn/parity/did/did-web-resolve.json": ("vectors", 3),
    "dwn/parity/did/did-dht-vector-2.json": ("vector", 1),
  ]

  @Test("every assertion of the manifests is known")
  func assertions() {
    #expect(!Conformance.files.isEmpty)
    for file in Conformance.files {
      for assertion in file.assertions {
        #expect(Self.tested.contains(assertion) || Self.untested.contains(assertion), "\(file.path): \(assertion)")
      }
    }
  }

  @Test("every file is known, with as many cases as it has, and those that must pass are 51 and 4 more")
  func files() throws {
    let counted = Self.must.merging(Self.identifiersAlone) { $0 + $1 }
    for file in Conformance.files where !Set(file.assertions).isSubset(of: Self.untested) {
      #expect(try Fixtures.json(file.path)["cases"]?.array?.count == counted[file.path], "\(file.path)")
    }
    #expect(Set(counted.keys).isSubset(of: Conformance.files.map(\.path)))
    for (path, expected) in Self.besideManifests {
      let found = try Fixtures.json(path)[expected.member]
      #expect((found?.array?.count ?? (found == nil ? 0 : 1)) == expected.count, "\(path)")
    }
    #expect(Self.must.values.reduce(0, +) == 51)
  }

  @Test("no file lies in the folder that neither a manifest nor this list names")
  func folder() throws {
    let folder = try #require(Fixtures.url("dwn/manifest.json")).deletingLastPathComponent()
    let walk = FileManager.default.enumerator(at: folder, includingPropertiesForKeys: nil)
    let known = Set(Conformance.files.map(\.path)).union(Self.besideManifests.keys)
    var count = 0
    while let url = walk?.nextObject() as? URL {
      guard url.pathExtension == "json", url.lastPathComponent != "manifest.json" else { continue }
      count += 1
      #expect(known.contains { url.path.hasSuffix("/" + $0) }, "\(url.path)")
    }
    #expect(count == known.count)
  }
}
