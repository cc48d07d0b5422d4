import Cryptography
import DWNClient
import Foundation
import Identity
import Logging
import NIOCore
import NIOPosix
import Synchronization
import TestSupport
import Testing
import Wire

@testable import DWN
@testable import DWNNode

/// Authors whose keys are where their DIDs point to.
@Suite("Authors whose documents are fetched", .timeLimit(.minutes(10)))
struct FetchedAuthorTests {
  /// Has the documents that it is given, and remembers whom it was asked for.
  private final class Directory: DIDDirectory {
    private let state = Mutex<(documents: [DID: DIDDocument], asked: [DID])>(([:], []))

    var asked: [DID] { state.withLock { $0.asked } }

    func add(_ document: DIDDocument) { state.withLock { $0.documents[document.id] = document } }

    func document(of did: DID) async throws(DIDError) -> DIDDocument {
      let document = state.withLock { state in
        state.asked.append(did)
        return state.documents[did]
      }
      guard let document else { throw .unreachable(did, reason: "nobody answers") }
      return document
    }
  }

  private static let structure = #"{"note":{"$actions":[{"who":"anyone","can":["create"]}]}}"#

  /// Somebody whose DID does not carry the key.
  private struct Author {
    let did: DID
    let key: Secp256k1PrivateKey
    var kid: String { "\(did)#key-1" }

    init(_ did: String, seed: UInt64) throws {
      self.did = try #require(DID(did))
      key = Secp256k1PrivateKey(random: SeededRandom(seed))
    }

    var document: DIDDocument {
      DIDDocument(
        id: did, verificationMethods: [.init(id: kid, publicKeyJWK: key.publicJWK.json)], authentication: [kid],
        keyAgreement: [])
    }

    func write(_ draft: RecordDraft, at time: WallTime) -> JSONValue {
      let descriptor = draft.descriptor(at: time)
      let id = RecordsWrite.entryID(of: descriptor, author: did)
      let payload = SignaturePayload(
        descriptorCID: CID(of: .object(descriptor)), recordID: id, contextID: ContextID(root: id))
      return [
        "recordId": .string(id.text), "contextId": .string(id.text), "descriptor": .object(descriptor),
        "authorization": ["signature": GeneralJWS.sign(payload.json.encoded, key: key, kid: kid).json],
      ]
    }
  }

  private func status(_ tenancy: TestTenancy, _ message: JSONValue, _ draft: RecordDraft) async throws -> Reply.Status {
    try await tenancy.node.process(tenant: tenancy.alice.did, message: message, data: draft.data).status
  }

  @Test("a write by the DID of a host is accepted once the host gives its document, and refused with the reason before")
  func accepted() async throws {
    let directory = Directory()
    let tenancy = try TestTenancy(directory: directory)
    #expect(try await tenancy.install(Self.structure).status.code == 202)
    let author = try Author("did:web:author.example", seed: 61)
    let draft = tenancy.draft("note")
    let message = author.write(draft, at: tenancy.tick())
    let refusal = try await status(tenancy, message, draft)
    #expect(refusal.code == 401)
    #expect(refusal.detail.contains("nobody answers"))
    directory.add(author.document)
    #expect(try await status(tenancy, message, draft).code == 202)
    #expect(directory.asked == [author.did, author.did])
  }

  /// Has no room to ask for anybody.
  private struct BusyDirectory: DIDDirectory {
    func document(of did: DID) async throws(DIDError) -> DIDDocument { throw .busy(did) }
  }

  @Test("that nobody was asked for a document is not the author's fault: 503")
  func busy() async throws {
    let tenancy = try TestTenancy(directory: BusyDirectory())
    #expect(try await tenancy.install(Self.structure).status.code == 202)
    let author = try Author("did:web:author.example", seed: 61)
    let draft = tenancy.draft("note")
    let refusal = try await status(tenancy, author.write(draft, at: tenancy.tick()), draft)
    #expect(refusal.code == 503 && refusal.detail.hasPrefix("DidResolutionBusy:"), "\(refusal)")
  }

  @Test("documents are asked for in the name of the network that a message came from")
  func asker() async throws {
    final class Directory: DIDDirectory {
      let networks = Mutex<[UInt128?]>([])
      func document(of did: DID) async throws(DIDError) -> DIDDocument {
        networks.withLock { $0.append(DocumentAsker.network) }
        throw .unreachable(did, reason: "nobody answers")
      }
    }
    let directory = Directory()
    let tenancy = try TestTenancy(directory: directory)
    let service = MessageService(
      endpoint: tenancy.node, rates: RateLimits(RateConfiguration()),
      metrics: ServerMetrics(factory: PrometheusRegistry()),
      log: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }), accessLevel: .debug)
    let author = try Author("did:web:author.example", seed: 61)
    for address in ["192.0.2.7", "127.0.0.1"] {
      let message = AddressedMessage(
        tenant: tenancy.alice.did, message: author.write(tenancy.draft("note"), at: tenancy.tick()))
      _ = try await service.process(message, data: nil, from: Caller(IPAddress(address)), over: .http)
    }
    #expect(directory.networks.withLock { $0 } == [0xc000_0207, nil])
  }

  @Test(
    "an import asks for the documents of authors whose DIDs carry no keys, each once, and leaves out those that nobody gives"
  )
  func imported() async throws {
    let directory = Directory()
    let tenancy = try TestTenancy(directory: directory)
    #expect(try await tenancy.install(Self.structure).status.code == 202)
    let author = try Author("did:web:author.example", seed: 66)
    directory.add(author.document)
    for _ in 0..<3 {
      let draft = tenancy.draft("note")
      #expect(try await status(tenancy, author.write(draft, at: tenancy.tick()), draft).code == 202)
    }
    let export = tenancy.folder.appendingPathComponent("export.zst").path
    _ = try TenantExport.run(of: tenancy.alice.did, in: tenancy.databasePath, to: export, at: tenancy.tick())
    let asked = directory.asked.count
    let known = tenancy.folder.appendingPathComponent("known/node.sqlite").path
    let whole = try await TenantImport.run(export, into: known, directory: directory)
    #expect(whole.messages == 4 && whole.refused == [])
    #expect(directory.asked.count == asked + 1)
    let unknown = tenancy.folder.appendingPathComponent("unknown/node.sqlite").path
    let part = try await TenantImport.run(export, into: unknown, directory: Directory())
    #expect(part.messages == 1 && part.refused.count == 3)
    #expect(part.refused.allSatisfy { $0.reason.contains("nobody answers") })
  }

  @Test("a signature by another key than the document's is refused")
  func forged() async throws {
    let directory = Directory()
    let tenancy = try TestTenancy(directory: directory)
    #expect(try await tenancy.install(Self.structure).status.code == 202)
    directory.add(try Author("did:web:author.example", seed: 62).document)
    let thief = try Author("did:web:author.example", seed: 63)
    let draft = tenancy.draft("note")
    #expect(try await status(tenancy, thief.write(draft, at: tenancy.tick()), draft).code == 401)
  }

  @Test("nobody is asked for a message that is wrong in itself")
  func malformed() async throws {
    let directory = Directory()
    let tenancy = try TestTenancy(directory: directory)
    let draft = tenancy.draft("note")
    var message = try Author("did:web:author.example", seed: 64).write(draft, at: tenancy.tick()).object ?? [:]
    message["recordId"] = "bafyreidkb7w4slt36fzuqxpzjjv53zuulbou4yqrlnyfzxp6xajoarxu24"
    #expect(try await status(tenancy, .object(message), draft).code == 400)
    #expect(directory.asked.isEmpty)
  }

  @Test("the document comes over the network from the host that the DID names")
  func overTheNetwork() async throws {
    let body = Mutex("")
    let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(OneAnswer(body.withLock { $0 }))
        }
      }
      .bind(host: "127.0.0.1", port: 0).get()
    let port = try #require(channel.localAddress?.port)
    let author = try Author("did:web:localhost%3A\(port)", seed: 65)
    body.withLock { $0 = String(decoding: author.document.json.encoded, as: UTF8.self) }

    var settings = DIDFetchSettings(allowsPrivateHosts: true)
    settings.timeout = .seconds(30)
    let tenancy = try TestTenancy(directory: NetworkDirectory(settings))
    #expect(try await tenancy.install(Self.structure).status.code == 202)
    let draft = tenancy.draft("note")
    #expect(try await status(tenancy, author.write(draft, at: tenancy.tick()), draft).code == 202)
    try await channel.close()
  }

  /// Answers the first bytes that come.
  private final class OneAnswer: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let text: String

    init(_ body: String) {
      text =
        "HTTP/1.1 200 OK\r\ncontent-type: application/did+json\r\ncontent-length: \(body.utf8.count)\r\n\r\n\(body)"
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: text)), promise: nil)
    }
  }
}
