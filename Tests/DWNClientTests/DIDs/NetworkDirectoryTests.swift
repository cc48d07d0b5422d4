import Cryptography
import Foundation
import Synchronization
import TestSupport
import Testing
import Wire

@testable import DWNClient
@testable import Identity

/// Has documents by their URLs, and remembers what it was asked for.
private final class ScriptedSource: DocumentSource {
  private struct State {
    var documents: [String: [UInt8]] = [:]
    var asked: [String] = []
    var underWay = 0
    var mostUnderWay = 0
    var isHeld = false
    var isBusy = false
    var held: [CheckedContinuation<Void, Never>] = []
  }

  private let state = Mutex(State())

  subscript(url: String) -> [UInt8]? {
    get { state.withLock { $0.documents[url] } }
    set { state.withLock { $0.documents[url] = newValue } }
  }

  var asked: [String] { state.withLock { $0.asked } }
  var mostUnderWay: Int { state.withLock { $0.mostUnderWay } }

  /// Whether it has no room to ask.
  var isBusy: Bool {
    get { state.withLock { $0.isBusy } }
    set { state.withLock { $0.isBusy = newValue } }
  }

  /// From now on nothing is answered before `release()`.
  func hold() { state.withLock { $0.isHeld = true } }

  func release() {
    let held = state.withLock { state in
      state.isHeld = false
      defer { state.held = [] }
      return state.held
    }
    for continuation in held { continuation.resume() }
  }

  func document(at url: String, _ kind: DocumentKind, largest: Int) async throws(FetchFailure) -> [UInt8] {
    state.withLock {
      $0.asked.append(url)
      $0.underWay += 1
      $0.mostUnderWay = max($0.mostUnderWay, $0.underWay)
    }
    await withCheckedContinuation { continuation in
      let goes = state.withLock { state in
        if state.isHeld { state.held.append(continuation) }
        return !state.isHeld
      }
      if goes { continuation.resume() }
    }
    let document = state.withLock { state in
      state.underWay -= 1
      return state.documents[url]
    }
    if isBusy { throw .busy }
    guard let document else { throw FetchFailure("it has no such document (HTTP status 404)") }
    return document
  }
}

/// Some who ask for documents side by side. Waiting for what they get ends with a test's time limit, as waiting for their tasks would
/// not.
private final class Asking: Sendable {
  private let known = Mutex<[Result<DIDDocument, DIDError>]>([])

  func ask(_ directory: NetworkDirectory, for dids: [DID]) {
    for did in dids {
      Task {
        let outcome: Result<DIDDocument, DIDError>
        do throws(DIDError) {
          outcome = .success(try await directory.document(of: did))
        } catch {
          outcome = .failure(error)
        }
        known.withLock { $0.append(outcome) }
      }
    }
  }

  /// What they got, once so many got something.
  func outcomes(_ count: Int) async throws -> [Result<DIDDocument, DIDError>] {
    while known.withLock({ $0.count }) < count { try await Task.sleep(for: .milliseconds(2)) }
    return known.withLock { $0 }
  }
}

extension Result<DIDDocument, DIDError> {
  fileprivate var id: DID? { try? get().id }

  fileprivate var isBusy: Bool { if case .failure(.busy) = self { true } else { false } }
}

@Suite("DIDs that must be fetched", .timeLimit(.minutes(10)))
struct NetworkDirectoryTests {
  private static let vectors = "dwn/parity/did/did-web-resolve.json"
  private let source = ScriptedSource()
  private let clock = TestClock()

  /// Goes when it is told to.
  private final class TestClock: Sendable {
    private let seconds = Mutex<UInt64>(1000)

    func advance(_ more: UInt64) { seconds.withLock { $0 += more } }
    func now() -> Instant { Instant(nanoseconds: seconds.withLock { $0 } * 1_000_000_000) }
  }

  private func directory(_ settings: DIDFetchSettings = DIDFetchSettings()) -> NetworkDirectory {
    NetworkDirectory(settings, source: source, now: clock.now)
  }

  private func web(_ name: String) throws -> DID { try #require(DID("did:web:" + name)) }

  private func document(_ did: DID) -> [UInt8] { Array(#"{"id":"\#(did)"}"#.utf8) }

  @Test(
    "a did:web is asked for at its one URL", .enabled(if: Fixtures.have(vectors), "\(Fixtures.skipped)"))
  func specification() async throws {
    for vector in try #require(try Fixtures.json(Self.vectors)["vectors"]?.array) {
      let did = try #require(vector["input"]?["didUri"]?.string.flatMap { DID($0) })
      let server = try #require(vector["input"]?["mockServer"]?.object)
      for (url, document) in server.members { source[url] = document.encoded }
      let before = source.asked.count
      let found = try await directory().document(of: did)
      #expect(source.asked.dropFirst(before) == [server.members[0].0])
      #expect(found == (try DIDDocument(try #require(vector["output"]?["didDocument"]), of: did)))
    }
  }

  @Test("a DID that carries its key is not asked for, and one of an unknown method is refused")
  func offline() async throws {
    let identity = MachineIdentity.generate(random: SeededRandom(51))
    let directory = directory()
    #expect(try await directory.document(of: identity.did).encryptionKey == identity.wireGuardKey.publicKey)
    let other = try #require(DID("did:example:a"))
    await #expect(throws: DIDError.unsupportedMethod("example")) { try await directory.document(of: other) }
    let malformed = try web("127.0.0.1")
    await #expect(throws: DIDError.self) { try await directory.document(of: malformed) }
    #expect(source.asked.isEmpty)
  }

  @Test("a hundred who ask for a DID at one time make one request, and all get what it gives")
  func singleFlight() async throws {
    let did = try web("example.com")
    source["https://example.com/.well-known/did.json"] = document(did)
    let directory = directory()
    source.hold()
    let asking = Asking()
    asking.ask(directory, for: Array(repeating: did, count: 100))
    while source.asked.isEmpty { try await Task.sleep(for: .milliseconds(2)) }
    source.release()
    #expect(try await asking.outcomes(100).allSatisfy { $0.id == did })
    #expect(source.asked.count == 1)
  }

  @Test("who gives up waiting takes the answer from nobody")
  func cancelled() async throws {
    let did = try web("example.com")
    source["https://example.com/.well-known/did.json"] = document(did)
    let directory = directory()
    source.hold()
    let first = Task { try await directory.document(of: did) }
    while source.asked.isEmpty { try await Task.sleep(for: .milliseconds(2)) }
    let second = Asking()
    second.ask(directory, for: [did])
    first.cancel()
    source.release()
    #expect(try await second.outcomes(1)[0].id == did)
    #expect(source.asked.count == 1)
  }

  @Test("an answer is asked for again when its time is over, a failure sooner")
  func remembered() async throws {
    let did = try web("example.com")
    let directory = directory()
    for _ in 0..<3 { await #expect(throws: DIDError.self) { try await directory.document(of: did) } }
    #expect(source.asked.count == 1)
    source["https://example.com/.well-known/did.json"] = document(did)
    clock.advance(29)
    await #expect(throws: DIDError.self) { try await directory.document(of: did) }
    clock.advance(1)
    for _ in 0..<3 { #expect(try await directory.document(of: did).id == did) }
    #expect(source.asked.count == 2)
    clock.advance(600)
    _ = try await directory.document(of: did)
    #expect(source.asked.count == 3)
  }

  @Test("no more are fetched side by side, and no more wait, than the settings say; the rest are told so")
  func bounded() async throws {
    var settings = DIDFetchSettings()
    settings.concurrency = 2
    settings.waiting = 3
    let directory = directory(settings)
    let dids = try (0..<9).map { try web("host\($0).example") }
    for did in dids { source["https://\(did.methodSpecificID)/.well-known/did.json"] = document(did) }
    source.hold()
    let asking = Asking()
    asking.ask(directory, for: dids)
    // Four are refused at once; what is left waits for the host.
    #expect(try await asking.outcomes(4).allSatisfy(\.isBusy))
    while source.mostUnderWay < 2 { try await Task.sleep(for: .milliseconds(2)) }
    source.release()
    #expect(try await asking.outcomes(9).count { $0.id != nil } == 5)
    #expect(source.mostUnderWay == 2)
    // Being refused is not remembered as the DID's fault.
    for did in dids { #expect(try await directory.document(of: did).id == did) }
  }

  @Test(
    "a site has a quarter of what is fetched side by side, whatever its hosts are called, and others are not kept waiting"
  )
  func sites() async throws {
    let directory = directory()
    source.hold()
    let slow = try (0..<40).map { try web("host\($0).slow.example") }
    let good = try web("good.example")
    source["https://good.example/.well-known/did.json"] = document(good)
    for did in slow { source["https://\(did.methodSpecificID)/.well-known/did.json"] = document(did) }
    let (asking, other) = (Asking(), Asking())
    asking.ask(directory, for: slow)
    while source.asked.count < 4 { try await Task.sleep(for: .milliseconds(2)) }
    other.ask(directory, for: [good])
    while !source.asked.contains("https://good.example/.well-known/did.json") {
      try await Task.sleep(for: .milliseconds(2))
    }
    #expect(source.asked.count == 5 && source.mostUnderWay == 5)
    source.release()
    #expect(try await other.outcomes(1)[0].id == good)
    #expect(try await asking.outcomes(40).allSatisfy { $0.id != nil })
    #expect(source.mostUnderWay == 5)
  }

  @Test("who asks has half of it, and what waits for him is bounded too, however many sites he names")
  func askers() async throws {
    let directory = directory()
    source.hold()
    let dids = try (0..<200).map { try web("site\($0).example\($0)") }
    let good = try web("good.example")
    for did in dids + [good] { source["https://\(did.methodSpecificID)/.well-known/did.json"] = document(did) }
    let (asking, other) = (Asking(), Asking())
    DocumentAsker.$network.withValue(7) { asking.ask(directory, for: dids) }
    // By then all have asked.
    let refused = 200 - 8 - 128
    #expect(try await asking.outcomes(refused).allSatisfy(\.isBusy))
    while source.asked.count < 8 { try await Task.sleep(for: .milliseconds(2)) }
    DocumentAsker.$network.withValue(8) { other.ask(directory, for: [good]) }
    while source.asked.count < 9 { try await Task.sleep(for: .milliseconds(2)) }
    #expect(source.asked.last == "https://good.example/.well-known/did.json")
    source.release()
    #expect(try await other.outcomes(1)[0].id == good)
    #expect(try await asking.outcomes(200).count(where: \.isBusy) == refused)
  }

  @Test("that there was no room to ask for it is not remembered as a DID's fault")
  func busy() async throws {
    let did = try web("example.com")
    source["https://example.com/.well-known/did.json"] = document(did)
    let directory = directory()
    source.isBusy = true
    await #expect(throws: DIDError.busy(did)) { try await directory.document(of: did) }
    source.isBusy = false
    #expect(try await directory.document(of: did).id == did)
  }

  @Test("a document whose time is over serves for a while, is fetched anew meanwhile, and no longer after a failure")
  func stale() async throws {
    let did = try web("example.com")
    let url = "https://example.com/.well-known/did.json"
    source[url] = document(did)
    let directory = directory()
    _ = try await directory.document(of: did)
    source[url] = Array(#"{"id":"\#(did)","alsoKnownAs":["new"]}"#.utf8)
    clock.advance(300)
    source.hold()
    for _ in 0..<3 { #expect(try await directory.document(of: did).alsoKnownAs.isEmpty) }
    while source.asked.count < 2 { try await Task.sleep(for: .milliseconds(2)) }
    source.release()
    while try await directory.document(of: did).alsoKnownAs.isEmpty { try await Task.sleep(for: .milliseconds(2)) }
    #expect(source.asked.count == 2)
    // Long after, nobody is shown what it was.
    source[url] = document(did)
    clock.advance(600)
    #expect(try await directory.document(of: did).alsoKnownAs.isEmpty)
    source[url] = nil
    clock.advance(300)
    #expect(try await directory.document(of: did).id == did)
    while (try? await directory.document(of: did)) != nil { try await Task.sleep(for: .milliseconds(2)) }
    clock.advance(30)
    source.hold()
    let anew = Asking()
    anew.ask(directory, for: [did])
    while source.asked.count < 5 { try await Task.sleep(for: .milliseconds(2)) }
    source.release()
    #expect(try await anew.outcomes(1)[0].id == nil)
  }

  @Test(
    "what is not the DID's document is none",
    arguments: ["", "[]", "<html>", #"{"id":"did:web:example.org"}"#, #"{"id":7}"#, "{", "\u{0}"])
  func wrong(text: String) async throws {
    let did = try web("example.com")
    source["https://example.com/.well-known/did.json"] = Array(text.utf8)
    let error = await #expect(throws: DIDError.self) { try await directory().document(of: did) }
    guard case .malformed(did, _)? = error else {
      Issue.record("\(String(describing: error))")
      return
    }
  }

  @Test("this machine's own name is asked without TLS, but only where private hosts are allowed")
  func localhost() async throws {
    let did = try web("localhost%3A8080:alice")
    source["http://localhost:8080/alice/did.json"] = document(did)
    let allowing = directory(DIDFetchSettings(allowsPrivateHosts: true))
    #expect(try await allowing.document(of: did).id == did)
    await #expect(throws: DIDError.self) { try await directory().document(of: did) }
    #expect(source.asked == ["http://localhost:8080/alice/did.json", "https://localhost:8080/alice/did.json"])
  }

  // MARK: - did:dht

  private static func settings() throws -> DIDFetchSettings {
    DIDFetchSettings(gateway: try EndpointURL("https://gateway.example/dht/"))
  }

  private func packet(_ key: Ed25519PrivateKey, _ sequence: UInt64, node: String) throws -> [UInt8] {
    let did = DHTMethod.did(for: key.publicKey)
    var jwk = key.publicJWK.json.object ?? [:]
    jwk["kid"] = .string(key.publicJWK.thumbprint)
    jwk["alg"] = "EdDSA"
    var document = DIDDocument(
      id: did, verificationMethods: [.init(id: "\(did)#0", publicKeyJWK: .object(jwk))], authentication: ["\(did)#0"],
      keyAgreement: [])
    document.services = [.init(id: "\(did)#dwn", types: ["DecentralizedWebNode"], endpoints: [node])]
    return try DHTPacket.bytes(document, sequence: sequence, key: key)
  }

  @Test("without a gateway a did:dht is not resolved, and the reason says what to do")
  func noGateway() async throws {
    let did = DHTMethod.did(for: Ed25519PrivateKey(random: SeededRandom(52)).publicKey)
    let error = await #expect(throws: DIDError.self) { try await directory().document(of: did) }
    #expect(error?.description.contains("--did-dht-gateway") == true)
    #expect(source.asked.isEmpty)
  }

  @Test("the gateway is asked for the packet, whose newest version counts and whose end is final")
  func packets() async throws {
    let key = Ed25519PrivateKey(random: SeededRandom(53))
    let did = DHTMethod.did(for: key.publicKey)
    let url = "https://gateway.example/dht/\(did.methodSpecificID)"
    let directory = directory(try Self.settings())
    source[url] = try packet(key, 10, node: "https://ten.example")
    #expect(try await directory.document(of: did).dwnEndpoints == ["https://ten.example"])
    #expect(source.asked == [url])
    clock.advance(600)
    source[url] = try packet(key, 9, node: "https://nine.example")
    #expect(try await directory.document(of: did).dwnEndpoints == ["https://ten.example"])
    clock.advance(600)
    source[url] = try packet(key, 11, node: "https://eleven.example")
    #expect(try await directory.document(of: did).dwnEndpoints == ["https://eleven.example"])

    let value = try DNSPacket(records: [.init(name: "_did." + did.methodSpecificID, text: "deactivated")]).encoded()
    let end = key.sign(Array("3:seqi12e1:v\(value.count):".utf8) + value) + [0, 0, 0, 0, 0, 0, 0, 12] + value
    clock.advance(600)
    source[url] = end
    await #expect(throws: DIDError.deactivated(did)) { try await directory.document(of: did) }
    clock.advance(600)
    source[url] = try packet(key, 11, node: "https://eleven.example")
    await #expect(throws: DIDError.deactivated(did)) { try await directory.document(of: did) }
  }

  @Test("a gateway that lies is a failure, and what it says of one DID is said of no other")
  func lying() async throws {
    let key = Ed25519PrivateKey(random: SeededRandom(54))
    let did = DHTMethod.did(for: Ed25519PrivateKey(random: SeededRandom(55)).publicKey)
    source["https://gateway.example/dht/\(did.methodSpecificID)"] = try packet(key, 1, node: "https://a.example")
    let settings = try Self.settings()
    let error = await #expect(throws: DIDError.self) { try await directory(settings).document(of: did) }
    #expect(error?.description.contains("has not signed") == true)
  }

  @Test(
    "the packet of the specification's vector is resolved through a gateway as it came from one",
    .enabled(if: Fixtures.have("dwn/parity/did/did-dht-vector-2.json"), "\(Fixtures.skipped)"))
  func specificationPacket() async throws {
    // The vector's key is nobody's here, so its records are signed by another one and written for that one's DID.
    let vector = try #require(try Fixtures.json("dwn/parity/did/did-dht-vector-2.json")["vector"])
    let theirs = try #require(vector["didDocument"]?["id"]?.string.flatMap { DID($0) })
    let key = Ed25519PrivateKey(random: SeededRandom(56))
    let did = DHTMethod.did(for: key.publicKey)
    let records = try #require(vector["dnsRecords"]?.array).filter { $0["type"] == "TXT" }.map { record in
      let name = try #require(record["name"]?.string).dropLast()
      let text = try #require(record["rdata"]?.string)
      return DNSPacket.TextRecord(
        name: name.replacingOccurrences(of: theirs.methodSpecificID, with: did.methodSpecificID),
        text: name == "_k0._did" ? "t=0;k=\(Base64.encode(key.publicKey.bytes.array))" : text)
    }
    let value = try DNSPacket(records: records).encoded()
    let signature = key.sign(Array("3:seqi1e1:v\(value.count):".utf8) + value)
    source["https://gateway.example/dht/\(did.methodSpecificID)"] = signature + [0, 0, 0, 0, 0, 0, 0, 1] + value
    let found = try await directory(try Self.settings()).document(of: did)
    let expected = try DIDDocument(try #require(vector["didDocument"]), of: theirs)
    #expect(found.services.map(\.endpoints) == expected.services.map(\.endpoints))
    #expect(found.verificationMethods[1].publicKeyJWK == expected.verificationMethods[1].publicKeyJWK)
    #expect(found.verificationMethods[1].controller == expected.verificationMethods[1].controller)
    #expect(found.controllers == expected.controllers && found.alsoKnownAs == expected.alsoKnownAs)
    #expect(found.assertionMethod.count == 2 && found.authentication.count == 1)
  }
}
