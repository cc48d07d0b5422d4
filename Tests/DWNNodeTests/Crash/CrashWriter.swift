import DWN
import Foundation
import Identity
import TestSupport
import Testing
import Wire

@testable import DWNNode

/// The process that is killed: a node, and clients that write to it all at once until it dies. It is this very test program,
/// started again by `CrashSoakTests`.
struct CrashWriter: Sendable {
  /// Names the database, in the environment of the process.
  static let variable = "MESHD_CRASH_DATABASE"
  /// How many clients there are.
  static let clientsVariable = "MESHD_CRASH_CLIENTS"
  static let clients = 32
  static let protocolURI = "https://example.org/crash"

  let databasePath: String
  var clients = Self.clients
  var journalPath: String { databasePath + ".journal" }

  static var asked: CrashWriter? {
    let variables = ProcessInfo.processInfo.environment
    return variables[variable].map {
      CrashWriter(databasePath: $0, clients: variables[clientsVariable].flatMap { Int($0) } ?? clients)
    }
  }

  /// Returns only if something goes wrong, or after a minute, should nobody be left who would kill it.
  func run() async throws {
    let people = [Person("alice"), Person("bob")]
    let journal = try CrashJournal(writing: journalPath)
    let store = WatchedStore(try SQLiteMessageStore(path: databasePath)) { tenant, entries in
      for entry in entries {
        journal.write(.announced(tenant: tenant, position: entry.position, cid: entry.cid))
      }
    }
    let node = DWNNode(
      store: store, tenants: [people[0].did, people[1].did], limits: NodeLimits(), directory: OfflineResolver())
    let start = WallTime(microseconds: Int64(Date().timeIntervalSince1970 * 1_000_000))
    try await install(node, people, at: start)
    let end = ContinuousClock.now + .seconds(60)
    await withTaskGroup { group in
      for number in 0..<clients {
        group.addTask {
          var client = CrashClient(
            number: number, node: node, person: people[number % people.count], journal: journal, time: start)
          // Some deal in large data alone, so that files come and go at any time.
          let dealsInFiles = number < Self.clients && number % 8 < 2
          while ContinuousClock.now < end {
            await dealsInFiles ? client.exchangeFiles() : client.fillAndEmptyBox()
          }
        }
      }
    }
  }

  private func install(_ node: DWNNode, _ people: [Person], at time: WallTime) async throws {
    let definition: JSONValue = [
      "protocol": .string(Self.protocolURI), "published": true, "types": ["box": [:], "item": [:], "log": [:]],
      "structure": ["box": ["item": [:], "log": ["$squash": true]]],
    ]
    for person in people {
      let configure = person.signer.protocolsConfigure(definition, at: time)
      _ = try await node.process(tenant: person.did, message: configure.message.value, data: nil)
    }
  }
}

/// One of those who write: it knows what it wrote, so it can change and delete it.
private struct CrashClient {
  let number: Int
  let node: DWNNode
  let person: Person
  let journal: CrashJournal
  var time: WallTime
  let random = SystemRandom()

  /// Records below a new one: written, changed, deleted, squashed, and half of the times pruned all together.
  mutating func fillAndEmptyBox() async {
    guard let box = await write(draft("box", below: nil)) else { return }
    var items: [RecordsWrite] = []
    for step in 0..<12 {
      switch random.uniform(below: 6) {
      case 0 where !items.isEmpty:
        let index = Int(random.uniform(below: UInt64(items.count)))
        if let later = await write(RecordDraft(updating: items[index], data: data())) { items[index] = later }
      case 1 where !items.isEmpty:
        await delete(items.removeLast(), prune: false)
      case 2:
        _ = await write(draft("box/log", below: box))
      case 3 where step > 6:
        await squashLog(of: box)
      default:
        if let item = await write(draft("box/item", below: box)) { items.append(item) }
      }
    }
    if random.uniform(below: 2) == 0 { await delete(box, prune: true) }
  }

  /// Large data that is overwritten by other large data, by small data, or by a write that keeps it; that is deleted, squashed, and
  /// pruned with its box.
  mutating func exchangeFiles() async {
    guard let box = await write(draft("box", below: nil)) else { return }
    var files: [RecordsWrite] = []
    for step in 0..<8 {
      let index = files.isEmpty ? 0 : Int(random.uniform(below: UInt64(files.count)))
      switch files.isEmpty ? 6 : random.uniform(below: 7) {
      case 0: if let later = await writeFile(RecordDraft(updating: files[index], data: [])) { files[index] = later }
      case 1: if let later = await write(RecordDraft(updating: files[index], data: data())) { files[index] = later }
      case 2: if let later = await keepFile(of: files[index]) { files[index] = later }
      case 3: await delete(files.remove(at: index), prune: false)
      case 4:
        _ = await writeFile(draft("box/log", below: box))
      case 5 where step > 4:
        await squashLog(of: box)
      default: if let file = await writeFile(draft("box/item", below: box)) { files.append(file) }
      }
    }
    if random.uniform(below: 2) == 0 { await delete(box, prune: true) }
  }

  /// An entry of the log that takes the place of those before it.
  private mutating func squashLog(of box: RecordsWrite) async {
    var squash = draft("box/log", below: box)
    squash.squash = true
    _ = await write(squash)
  }

  private func draft(_ path: ProtocolPath, below parent: RecordsWrite?) -> RecordDraft {
    RecordDraft(
      protocolURI: CrashWriter.protocolURI, path: path, parent: parent?.contextID,
      tags: ["client": .integer(Int64(number)), "kind": .string(path.typeName)], data: data())
  }

  /// Small in most cases; some of it is beyond what stands in a row.
  private func data() -> [UInt8] {
    switch random.uniform(below: 100) {
    case 0...5: [UInt8](repeating: UInt8(number % 256), count: NodeLimits.inlineData + 1)
    default: [UInt8](repeating: UInt8(number % 256), count: Int(random.uniform(below: 200)))
    }
  }

  private mutating func write(_ draft: RecordDraft) async -> RecordsWrite? {
    time = time + .milliseconds(1)
    let write = person.signer.recordsWrite(draft, at: time)
    let isTaken = await send(
      write.signed, received: ReceivedData(draft.data), record: write.recordID, parent: write.parentID)
    return isTaken ? write : nil
  }

  /// The same with data that comes in pieces, and is too large for the database.
  private mutating func writeFile(_ draft: RecordDraft) async -> RecordsWrite? {
    var draft = draft
    draft.data = random.bytes(32) + [UInt8](repeating: UInt8(number % 256), count: NodeLimits.dataInDatabase)
    time = time + .milliseconds(1)
    let write = person.signer.recordsWrite(draft, at: time)
    let incoming = node.receive()
    do {
      for start in stride(from: 0, to: draft.data.count, by: 64 << 10) {
        try incoming.append(Array(draft.data[start..<min(start + 64 << 10, draft.data.count)]))
      }
      let isTaken = try await send(
        write.signed, received: incoming.finish(), record: write.recordID, parent: write.parentID)
      return isTaken ? write : nil
    } catch {
      journal.write(.refused(tenant: person.did, reason: "\(error)"))
      return nil
    }
  }

  /// A write that comes without data and has that of the one before it.
  private mutating func keepFile(of earlier: RecordsWrite) async -> RecordsWrite? {
    var draft = RecordDraft(updating: earlier, data: [])
    draft.describedData = DataDescription(cid: earlier.dataCID, size: earlier.dataSize)
    draft.tags?["kept"] = true
    time = time + .milliseconds(1)
    let write = person.signer.recordsWrite(draft, at: time)
    let isTaken = await send(write.signed, received: nil, record: write.recordID, parent: write.parentID)
    return isTaken ? write : nil
  }

  private mutating func delete(_ write: RecordsWrite, prune: Bool) async {
    time = time + .milliseconds(1)
    let message = person.signer.recordsDelete(write.recordID, prune: prune, at: time)
    _ = await send(message, received: nil, record: write.recordID, parent: write.parentID)
  }

  private func send(
    _ signed: SignedMessage, received: ReceivedData?, record: RecordID, parent: RecordID?
  ) async -> Bool {
    let tenant = person.did
    do {
      let reply = try await node.process(tenant: tenant, message: signed.message.value, received: received).reply
      guard reply.status.code == 202 else {
        journal.write(.refused(tenant: tenant, reason: "\(reply.status)"))
        return false
      }
    } catch {
      journal.write(.refused(tenant: tenant, reason: "\(error)"))
      return false
    }
    journal.write(
      .acknowledged(
        .init(
          tenant: tenant, cid: signed.message.cid.text, record: record, parent: parent,
          timestamp: signed.message.timestamp)))
    return true
  }
}

/// Not a test of its own: the body of the process that `CrashSoakTests` starts.
@Suite("The writer of the crash test", .enabled(if: CrashWriter.asked != nil, "the crash test starts it"))
struct CrashWriterProcess {
  @Test("writes until it is killed")
  func write() async throws { try await CrashWriter.asked?.run() }
}
