import DWN
import Foundation
import Identity
import TestSupport
import Testing
import Wire

@testable import DWNNode

/// Data that is too large for memory comes in pieces, waits in a file, and is read from it.
@Suite(.timeLimit(.minutes(10)))
struct LargeDataTests {
  private let tenancy: TestTenancy

  init() async throws {
    tenancy = try TestTenancy(limits: NodeLimits(largestData: 3 << 20, largestStaging: 4 << 20))
    let reply = try await tenancy.install(#"{"blob":{"$actions":[{"who":"anyone","can":["read"]}]}}"#)
    #expect(reply.status.code == 202)
  }

  private func bytes(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
    SeededRandom(seed).bytes(count)
  }

  private func receive(_ data: [UInt8], pieces: Int = 60_000) throws -> ReceivedData {
    let incoming = tenancy.node.receive()
    for start in stride(from: 0, to: data.count, by: pieces) {
      try incoming.append(Array(data[start..<min(start + pieces, data.count)]))
    }
    return try incoming.finish()
  }

  private var files: [String] {
    (try? FileManager.default.contentsOfDirectory(atPath: DataFolder.path(of: tenancy.databasePath))) ?? []
  }

  private func draft(_ data: [UInt8]) -> RecordDraft {
    var draft = tenancy.draft("blob")
    draft.data = data
    return draft
  }

  private func send(_ write: RecordsWrite, _ data: ReceivedData?) async throws -> Int {
    try await tenancy.node.process(
      tenant: tenancy.alice.did, message: write.message.value, received: data
    ).reply.status.code
  }

  private func read(_ write: RecordsWrite) async throws -> NodeReply {
    let message = tenancy.bob.signer.recordsRead(RecordsFilter(recordID: write.recordID), at: tenancy.tick())
    return try await tenancy.node.process(tenant: tenancy.alice.did, message: message.message.value, received: nil)
  }

  @Test(
    "small data stays in memory, larger data goes into a file; both have the CID of the whole",
    arguments: [
      0, 1, 262_144, 262_145, 1_000_000,
    ])
  func pieces(size: Int) throws {
    let data = bytes(size)
    let received = try receive(data)
    #expect(received.cid == DataCID.of(data))
    #expect(try received.content.bytes() == data)
    let isFile = if case .file = received.content { true } else { false }
    #expect(isFile == (size > NodeLimits.dataInDatabase))
    #expect(files.count == (isFile ? 1 : 0))
  }

  @Test("data in a file is kept with its message, read from it, and carried over by an update without data")
  func life() async throws {
    let data = bytes(2 << 20)
    let write = tenancy.alice.signer.recordsWrite(draft(data), at: tenancy.tick())
    #expect(try await send(write, try receive(data)) == 202)
    let reply = try await read(write)
    #expect(reply.reply.status.code == 200 && reply.reply.data == nil)
    #expect(try #require(reply.file).read(0..<data.count) == data)

    var later = RecordDraft(updating: write, data: data)
    later.published = true
    let update = tenancy.alice.signer.recordsWrite(later, at: tenancy.tick())
    #expect(try await send(update, nil) == 202)
    #expect(files.count == 1)
    #expect(try await read(write).inMemory().data == data)

    let replaced = tenancy.alice.signer.recordsWrite(
      RecordDraft(updating: update, data: [1, 2, 3]), at: tenancy.tick())
    #expect(try await send(replaced, ReceivedData([1, 2, 3])) == 202)
    #expect(try await read(write).reply.data == [1, 2, 3])
    // The reader of before still holds what was removed.
    #expect(try #require(reply.file).read(0..<10) == Array(data[..<10]))
  }

  @Test("what no message comes to name is removed, and its room is given back")
  func discarded() async throws {
    let data = bytes(2 << 20)
    let write = tenancy.alice.signer.recordsWrite(draft(data), at: tenancy.tick())
    for _ in 0..<3 {
      var other = data
      other[0] ^= 1
      #expect(try await send(write, try receive(other)) == 400)
      #expect(try await send(write, try receive(Array(data.dropLast()))) == 400)
      #expect(files.isEmpty)
    }
    do {
      let incoming = tenancy.node.receive()
      try incoming.append(data)
      #expect(files.count == 1)
    }
    #expect(files.isEmpty)
    #expect(try await send(write, try receive(data)) == 202)
  }

  @Test("more than a record or all that wait may have is refused while it comes")
  func limits() throws {
    let incoming = tenancy.node.receive()
    try incoming.append(bytes(3 << 20))
    #expect(throws: DWNError.self) { try incoming.append([0]) }
    try withExtendedLifetime(incoming) {
      let other = tenancy.node.receive()
      #expect(throws: DWNError.self) { try other.append(bytes(2 << 20)) }
      try other.append(bytes(1 << 20))
    }
  }

  @Test("what a process that ended was receiving is removed when the database is opened")
  func leftOver() async throws {
    let data = bytes(1 << 20)
    let write = tenancy.alice.signer.recordsWrite(draft(data), at: tenancy.tick())
    #expect(try await send(write, try receive(data)) == 202)
    let folder = DataFolder.path(of: tenancy.databasePath)
    _ = FileManager.default.createFile(
      atPath: folder + "/" + String(repeating: "ab", count: 16), contents: Data(count: 10))
    await tenancy.node.close()
    let again = try DWNNode(databasePath: tenancy.databasePath, tenants: [tenancy.alice.did])
    #expect(files.count == 1)
    let message = tenancy.bob.signer.recordsRead(RecordsFilter(recordID: write.recordID), at: tenancy.tick())
    let reply = try await again.process(tenant: tenancy.alice.did, message: message.message.value, data: nil)
    #expect(reply.data == data)
    await again.close()
  }
}
