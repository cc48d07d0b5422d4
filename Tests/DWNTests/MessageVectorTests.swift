import Cryptography
@testable import DWN
import Identity
import TestSupport
import Testing
import Wire

/// The one key of the conformance files, under a DID that exists nowhere else.
struct AliceResolver: DIDResolver {
  func resolve(_ did: DID) throws(DIDError) -> DIDDocument {
    guard did.text == "did:example:alice" else { throw .unsupportedMethod(String(did.method)) }
    let kid = "did:example:alice#key1"
    let jwk: JSONValue = ["kty": "OKP", "crv": "Ed25519", "x": "A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg"]
    return DIDDocument(
      id: did, verificationMethods: [.init(id: kid, publicKeyJWK: jwk)], authentication: [kid], keyAgreement: [])
  }
}

@Suite("Messages of other implementations")
struct MessageVectorTests {
  private static let permissionRecords = "dwn/dwn/protocols/permissions-protocol-records.json"

  @Test(
    "message and descriptor have the CIDs that other nodes compute",
    .enabled(if: Conformance.isHere, "\(Fixtures.skipped)"), arguments: ConformanceCase.all(asserting: "cid.message"))
  func hashes(vector: ConformanceCase) throws {
    let message = try #require(vector["message"])
    #expect(CID(of: message).text == vector["messageCid"]?.string)
    #expect(CID(of: try #require(message["descriptor"])).text == vector["descriptorCid"]?.string)
  }

  @Test(
    "a descriptor of a kind that is known here is read and written without losing a member",
    .enabled(if: Conformance.isHere, "\(Fixtures.skipped)"),
    arguments: ConformanceCase.all(asserting: "descriptor.roundtrip"))
  func roundTrip(vector: ConformanceCase) throws {
    let value = try #require(vector["message"])
    // What only the signed can send comes without its signature here, and a subscription without filters was allowed once.
    let descriptor = try #require(value["descriptor"]?.object)
    let kind = (descriptor["interface"]?.string ?? "") + (descriptor["method"]?.string ?? "")
    guard let kind = Message.Kind(rawValue: kind), kind != .messagesSubscribe else {
      #expect(throws: DWNError.self) { try Message(value) }
      return
    }
    let members = try MessageBody(kind, descriptor: descriptor).members
    for name in descriptor.names where !["interface", "method", "messageTimestamp"].contains(name) {
      #expect(members[name] == descriptor[name], "\(name)")
    }
    #expect(members.count + 3 == descriptor.count)
    if kind.mayBeUnsigned { #expect(try Message(value).cid.text == vector["messageCid"]?.string) }
  }

  @Test(
    "a descriptor's CID and a record's id are those of the specification's reference",
    .enabled(if: Conformance.isHere, "\(Fixtures.skipped)"))
  func reference() throws {
    for vector in ConformanceCase.all(asserting: "spec.descriptorCid") {
      #expect(CID(of: try #require(vector["descriptor"])).text == vector["expected"]?["descriptorCid"]?.string)
    }
    let entry = try #require(ConformanceCase.all("dwn/spec/divergence/ledger.json", "entries").first)
    let proof = try #require(entry["proof"])
    let descriptor = try #require(proof["descriptor"]?.object)
    let author = try #require(proof["author"]?.string.flatMap { DID($0) })
    #expect(RecordsWrite.entryID(of: descriptor, author: author).text == proof["implRecordId"]?.string)
  }

  @Test(
    "the signed records of the permissions protocol check out in full",
    .enabled(if: Fixtures.have(permissionRecords), "\(Fixtures.skipped)"),
    arguments: ConformanceCase.all(permissionRecords))
  func permissions(vector: ConformanceCase) throws {
    let value = try #require(vector["message"])
    let write = try RecordsWrite(SignedMessage(checking: Message(value), resolver: AliceResolver()))
    let data = Array(try #require(vector["data"]?["value"]?.string).utf8)
    #expect(write.message.value == value)
    #expect(write.author.text == "did:example:alice")
    #expect(write.isInitial)
    #expect(write.matches(data: data))
    #expect(write.dataCID.text == vector["dataCid"]?.string)
    #expect(JSONValue.integer(Int64(write.dataSize)) == vector["dataSize"])
    #expect(write.protocolURI == vector["expected"]?["protocol"]?.string)
    #expect(write.path.text == vector["expected"]?["protocolPath"]?.string)
    #expect(write.tags.map { .object($0) } == vector["expected"]?["tags"])
    #expect(try JSONValue(parsing: data) == vector["permissionData"])
    #expect(!write.matches(data: data + [0x20]))
    if write.path.text == "grant/revocation" {
      #expect(write.contextID.parent?.record == write.parentID)
    } else {
      #expect(write.contextID.text == write.recordID.text)
    }
  }
}

/// Complete signed messages of the mesh's other implementation, at two points of its history.
@Suite("Messages of the other mesh implementation")
struct UpstreamMessageTests {
  private static let files = ["mesh/dwn-messages-jwe.json", "mesh/dwn-messages-v1.json"]
  private static let vectors = files.flatMap { ConformanceCase.all($0, "messages") }

  @Test(
    "each verifies, and what was signed is read as it was meant", .enabled(if: !vectors.isEmpty, "\(Fixtures.skipped)"),
    arguments: vectors)
  func verify(vector: ConformanceCase) throws {
    let value = try #require(vector["message"])
    // One cursor names a message that has no CID.
    if let cursor = value["descriptor"]?["cursor"]?["messageCid"]?.string, CID(cursor) == nil {
      #expect(throws: DWNError.self) { try Message(value) }
      return
    }
    let signed = try SignedMessage(checking: Message(value), resolver: OfflineResolver())
    #expect(signed.author.text == vector["signer"]?.string)
    let payload = try JSONValue(parsing: try #require(vector["signaturePayloadJson"]?.string))
    #expect(signed.payload.json == payload)
    #expect(signed.payload.json.text == vector["signaturePayloadJson"]?.string)
    guard signed.message.kind == .recordsWrite else { return }
    let write = try RecordsWrite(signed)
    let body = try #require(vector["httpBody_b64u"]?.string.flatMap { Base64.decode($0) })
    #expect(write.matches(data: body))
    #expect(write.isInitial == !vector.testDescription.contains("update"))
  }

  @Test(
    "each is signed again with the same bytes", .enabled(if: !vectors.isEmpty, "\(Fixtures.skipped)"),
    arguments: vectors)
  func sign(vector: ConformanceCase) throws {
    let seed = try #require(vector["signerSeedHex"]?.string.flatMap { Hex.decode($0) })
    let identity = try #require(MachineIdentity(seed: SecretBytes(seed)))
    let payload = Array(try #require(vector["signaturePayloadJson"]?.string).utf8)
    #expect(GeneralJWS.sign(payload, with: identity).json == vector["message"]?["authorization"]?["signature"])
  }
}
