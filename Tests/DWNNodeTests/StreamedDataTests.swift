import DWN
import DWNClient
import Foundation
import Identity
import Synchronization
import TestSupport
import Testing
import Wire

@testable import DWNNode

/// Data between a client and a node that is in the memory of neither.
@Suite("Data that is streamed to a node and from it", .timeLimit(.minutes(10)))
struct StreamedDataTests {
  private let tenancy: TestTenancy

  init() async throws {
    tenancy = try TestTenancy(limits: NodeLimits(largestData: 32 << 20))
    let definition = #"{"blob": {"$actions": [{"who": "anyone", "can": ["read"]}]}}"#
    #expect(try await tenancy.install(definition).status.code == 202)
  }

  private func running<Value>(_ body: (HTTPEndpoint) async throws -> Value) async throws -> Value {
    // Room for a twentieth of the data in the server's memory.
    let server = try await RunningServer.start(tenancy.node) {
      $0.largestBody = 32 << 20
      $0.bodyBudget = 1 << 20
    }
    let endpoint = HTTPEndpoint(try server.url)
    let result: Result<Value, any Error>
    do { result = .success(try await body(endpoint)) } catch { result = .failure(error) }
    await endpoint.shutdown()
    await server.server.shutdown()
    return try result.get()
  }

  private func write(_ described: DataDescription, longName: Bool = false) -> RecordsWrite {
    var draft = tenancy.draft("blob", tags: longName ? ["name": .string(String(repeating: "x", count: 13_000))] : nil)
    draft.describedData = described
    return tenancy.alice.signer.recordsWrite(draft, at: tenancy.tick())
  }

  private func reading(_ write: RecordsWrite) -> JSONValue {
    tenancy.bob.signer.recordsRead(RecordsFilter(recordID: write.recordID), at: tenancy.tick()).message.value
  }

  @Test(
    "a file goes to the node and comes back as a file, byte for byte, be its message short or too long for a header",
    arguments: [0, 1, 30_001, 20 << 20], [false, true])
  func files(size: Int, longName: Bool) async throws {
    let folder = tenancy.folder.path + "/files"
    let (source, copy) = (folder + "/source", folder + "/copy")
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    try Data(SeededRandom(UInt64(size)).bytes(size)).write(to: URL(fileURLWithPath: source))
    let data = try OutgoingData(file: source)
    let write = write(try await data.description(), longName: longName)
    try await running { endpoint in
      #expect(try await endpoint.write(write, tenant: tenancy.alice.did, data: data).status.code == 202)
      let status = try await endpoint.read(reading(write), tenant: tenancy.alice.did, largest: size) { reply, data in
        try await data?.save(to: copy)
        return reply.status.code
      }
      #expect(status == 200)
    }
    #expect(FileManager.default.contentsEqual(atPath: source, andPath: copy))
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder).sorted() == ["copy", "source"])
  }

  /// Pieces that are made when they are asked for.
  private struct Made: AsyncSequence, Sendable {
    let count: Int
    let make: @Sendable (Int) -> [UInt8]

    struct AsyncIterator: AsyncIteratorProtocol {
      var rest: Made
      var number = 0

      mutating func next() async throws -> [UInt8]? {
        guard number < rest.count else { return nil }
        defer { number += 1 }
        return rest.make(number)
      }
    }

    func makeAsyncIterator() -> AsyncIterator { AsyncIterator(rest: self) }
  }

  private static let pieces = Made(count: 100) { number in
    [UInt8](repeating: UInt8(number), count: 10_007)
  }

  @Test("a sequence is gone through once for its CID and once to be sent; what comes is no more than was asked for")
  func sequences() async throws {
    let data = OutgoingData(Self.pieces, size: 100 * 10_007)
    let write = write(try await data.description())
    try await running { endpoint in
      #expect(try await endpoint.write(write, tenant: tenancy.alice.did, data: data).status.code == 202)
      let came = try await endpoint.read(reading(write), tenant: tenancy.alice.did, largest: 2 << 20) { _, data in
        var came: [UInt8] = []
        for try await piece in try #require(data) { came += piece }
        return came
      }
      #expect(came == (0..<100).flatMap { Self.pieces.make($0) })
      await #expect(throws: DataTransferError.self) {
        try await endpoint.read(reading(write), tenant: tenancy.alice.did, largest: 1_000_000) { _, _ in }
      }
      // Whoever has seen enough need not take the rest, and the next request is answered.
      for _ in 0..<3 {
        let first = try await endpoint.read(reading(write), tenant: tenancy.alice.did, largest: 2 << 20) { _, data in
          var iterator = try #require(data).makeAsyncIterator()
          return try await iterator.next()?.first
        }
        #expect(first == 0)
      }
    }
  }

  @Test(
    "data that is not what was signed is not sent to its end: the node has nothing of it, and who sends is told why",
    arguments: [-1, 0, 1])
  func changed(by difference: Int) async throws {
    let data = OutgoingData(Self.pieces, size: 100 * 10_007)
    let write = write(try await data.description())
    let other = Made(count: 100) { number in
      let last = number == 99
      return [UInt8](repeating: last ? 7 : UInt8(number), count: last ? 10_007 + difference : 10_007)
    }
    try await running { endpoint in
      let refusal = await #expect(throws: DataTransferError.self) {
        try await endpoint.write(write, tenant: tenancy.alice.did, data: OutgoingData(other, size: data.size))
      }
      guard case .changed = refusal else {
        Issue.record("\(String(describing: refusal))")
        return
      }
      let status = try await endpoint.read(reading(write), tenant: tenancy.alice.did, largest: 2 << 20) { reply, _ in
        reply.status.code
      }
      #expect(status == 404)
      #expect(try await endpoint.write(write, tenant: tenancy.alice.did, data: data).status.code == 202)
    }
  }

  @Test("small data that stands inside the reply is taken in the same way")
  func small() async throws {
    let write = try await tenancy.write(tenancy.alice, "blob", data: "{\"small\":true}")
    try await running { endpoint in
      let text = try await endpoint.read(reading(write), tenant: tenancy.alice.did, largest: 100) { _, data in
        var text = ""
        for try await piece in try #require(data) { text += String(decoding: piece, as: UTF8.self) }
        return text
      }
      #expect(text == "{\"small\":true}")
    }
  }
}
