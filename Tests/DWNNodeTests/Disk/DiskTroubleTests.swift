import DWN
import Foundation
import GRDB
import Identity
import TestSupport
import Testing
import Wire

@testable import DWNNode

/// A disk without room, and one that cannot be written to: small ones in memory, each in a process with mounts of its own.
@Suite(.enabled(if: TestProcess.canMount, "mounts cannot be made here"), .timeLimit(.minutes(10)))
struct DiskTroubleTests {
  @Test("the disk has trouble", arguments: DiskTrouble.allCases)
  func trouble(_ trouble: DiskTrouble) async throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("disk-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: folder) }
    let disk = folder.appendingPathComponent("disk").path
    try FileManager.default.createDirectory(atPath: disk, withIntermediateDirectories: true)
    let outputPath = folder.appendingPathComponent("output").path
    let process = try TestProcess(
      suite: "DiskTroubleProcess", after: "mount -t tmpfs -o size=8m none '\(disk)'",
      variables: [DiskTrouble.variable: trouble.rawValue, "MESHD_TEST_DISK": disk], outputPath: outputPath)
    while !process.hasEnded { try await Task.sleep(for: .milliseconds(20)) }
    let output = (try? String(contentsOfFile: outputPath, encoding: .utf8)) ?? ""
    #expect(process.wait() == 0, "\(output)")
    #expect(output.contains("passed"), "\(output)")
  }
}

enum DiskTrouble: String, CaseIterable, Sendable {
  case full
  case readOnly
  case fullForCopies
  case smallForImports

  static let variable = "MESHD_TEST_DISK_TROUBLE"
  static var asked: DiskTrouble? { ProcessInfo.processInfo.environment[variable].flatMap { DiskTrouble(rawValue: $0) } }
  static var disk: String { ProcessInfo.processInfo.environment["MESHD_TEST_DISK"] ?? "" }
}

/// The body of the processes that `DiskTroubleTests` starts.
@Suite("On a small disk of its own", .enabled(if: DiskTrouble.asked != nil, "DiskTroubleTests starts it"))
struct DiskTroubleProcess {
  private var path: String { DiskTrouble.disk + "/node.sqlite" }
  private var ballast: String { DiskTrouble.disk + "/ballast" }

  @Test(
    "without room a write is refused in words, nothing is lost, reads go on, and so do writes once there is room",
    .enabled(if: DiskTrouble.asked == .full))
  func full() async throws {
    #expect(FileManager.default.createFile(atPath: ballast, contents: Data(count: 3 << 20)))
    let alice = Person("alice")
    let node = try DWNNode(databasePath: path, tenants: [alice.did])
    let writer = SmallDiskWriter(node: node, person: alice)
    try await writer.install()
    let refusals = await writer.fill()
    #expect(!refusals.isEmpty)
    for refusal in refusals {
      #expect(refusal.contains("no space is left on the disk of \(DiskTrouble.disk)"), "\(refusal)")
    }
    let taken = await writer.taken
    #expect(taken.count > 10)
    // Data that goes into a file finds no room either, and leaves nothing there.
    let incoming = node.receive()
    #expect(throws: NodeError.self) {
      for _ in 0..<64 { try incoming.append([UInt8](repeating: 1, count: 128 << 10)) }
    }
    #expect(try await writer.found() == taken)

    try FileManager.default.removeItem(atPath: ballast)
    #expect(await writer.write(number: 1_000_000) == nil)
    #expect(try await writer.found() == taken.union([1_000_000]))
    await node.close()

    let store = try SQLiteMessageStore(path: path)
    let connection = try DatabaseQueue(path: path)
    try await connection.read { database in
      let audit = StoreAudit(database: database, folder: store.dataFolder)
      try audit.check("after a full disk")
      try audit.checkFiles("after a full disk")
    }
    try connection.close()
    #expect(try await store.summaries().first?.head == Int64(taken.count + 2))
    await store.close()
  }

  @Test("a disk that cannot be written to is said to be one", .enabled(if: DiskTrouble.asked == .readOnly))
  func readOnly() async throws {
    await (try DWNNode(databasePath: path, tenants: [])).close()
    try remount("ro")
    #expect(throws: NodeError.cannotOpenDatabase(path: path, reason: "read-only file system")) {
      _ = try DWNNode(databasePath: path, tenants: [])
    }
    try remount("rw")
    await (try DWNNode(databasePath: path, tenants: [])).close()
  }

  @Test(
    "wherever the disk gets full under a backup, a restore or an export, the command says so and leaves nothing there",
    .enabled(if: DiskTrouble.asked == .fullForCopies))
  func copies() async throws {
    let tenancy = try TestTenancy()
    #expect(try await tenancy.install(#"{"blob": {}}"#).status.code == 202)
    let random = SeededRandom(71)
    for size in [20_000, 20_000, 700_000] {
      var draft = tenancy.draft("blob")
      draft.data = random.bytes(size)
      let write = tenancy.alice.signer.recordsWrite(draft, at: tenancy.tick())
      let incoming = tenancy.node.receive()
      try incoming.append(draft.data)
      let answer = try await tenancy.node.process(
        tenant: tenancy.alice.did, message: write.message.value, received: try incoming.finish())
      #expect(answer.reply.status.code == 202)
    }
    let backup = tenancy.folder.appendingPathComponent("backup").path
    _ = try NodeBackup.make(of: tenancy.databasePath, to: backup)
    let target = DiskTrouble.disk + "/copy"
    try withLittleRoom { _ = try NodeBackup.make(of: tenancy.databasePath, to: target) }
    try withLittleRoom { _ = try NodeRestore.run(from: backup, to: self.path) }
    try withLittleRoom {
      _ = try TenantExport.run(of: tenancy.alice.did, in: tenancy.databasePath, to: target, at: tenancy.tick())
    }
  }

  @Test(
    "data that no signed message promises takes no disk, and an import ends before it takes what is to stay free",
    .enabled(if: DiskTrouble.asked == .smallForImports))
  func imports() async throws {
    let alice = Person("alice")
    let large = [UInt8](repeating: 0, count: 9 << 20)
    let export = FileManager.default.temporaryDirectory.appendingPathComponent("large-\(UUID().uuidString).zst").path
    defer { try? FileManager.default.removeItem(atPath: export) }
    func entry(_ data: [UInt8]) throws -> String {
      var draft = RecordDraft(protocolURI: TestTenancy.protocolURI, path: "blob", data: data)
      draft.dataFormat = "application/octet-stream"
      let message = alice.signer.recordsWrite(draft, at: .now()).message.value
      return ExportLine.message(.init(message: message, content: .following(large.count), kept: .init(share: .tenant)))
        .json.text
    }
    let definition: JSONValue = [
      "protocol": .string(TestTenancy.protocolURI), "published": true, "types": ["blob": [:]],
      "structure": ["blob": [:]],
    ]
    let configure = ExportLine.message(
      .init(
        message: alice.signer.protocolsConfigure(definition, at: .now() + .seconds(-60)).message.value, content: .none,
        kept: .init(share: .tenant)))
    let whole = try entry(large)
    let forged = whole.replacingOccurrences(
      of: #""signature":"[^"]{6}"#, with: #""signature":"AAAAAA"#, options: .regularExpression)
    #expect(forged != whole)
    func write(_ entry: String) throws {
      let descriptor = try FileCopy.create(export)
      defer { close(descriptor) }
      let writer = try ZstdWriter(descriptor, path: export)
      func put(_ line: String) throws { try writer.write(Array((line + "\n").utf8)) }
      try put(ExportLine.head(.init(tenant: alice.did, exportedAt: .now(), messages: 2)).json.text)
      try put(configure.json.text)
      try put(entry)
      let piece = ExportLine.data(Array(large.prefix(ExportLine.chunk))).json.text
      for _ in 0..<large.count / ExportLine.chunk { try put(piece) }
      try put(ExportLine.end(messages: 2).json.text)
      try writer.finish()
    }
    let data = path + "-data"
    try write(whole)
    let error = await #expect(throws: NodeError.self) {
      try await TenantImport.run(export, into: path, keepingFree: 2 << 20)
    }
    #expect(error == .diskReserved(path: data, bytes: 2 << 20))
    #expect((FileCopy.names(in: data) ?? []).isEmpty)
    #expect(try NodeArchive(databasePath: path).tenants() == [])

    let unpromised = [
      "GeneralJwsVerifierInvalidSignature": forged, "RecordsWriteDataSizeMismatch": try entry([1]),
    ]
    for (code, text) in unpromised {
      try FileManager.default.removeItem(atPath: export)
      try write(text)
      let folder = DiskTrouble.disk + "/" + code
      let imported = try await TenantImport.run(export, into: folder + "/node.sqlite", keepingFree: 2 << 20)
      #expect(imported.messages == 1 && imported.refused.count == 1)
      #expect(imported.refused.allSatisfy { $0.reason.contains(code) }, "\(imported.refused)")
      #expect((FileCopy.names(in: folder + "/node.sqlite-data") ?? []).isEmpty)
    }
  }

  /// Tries again and again, with 64 KiB more room each time, until there is enough.
  private func withLittleRoom(_ body: () throws -> Void) throws {
    let files = FileManager.default
    for tries in 1..<120 {
      try? files.removeItem(atPath: ballast)
      #expect(files.createFile(atPath: ballast, contents: Data(count: (8 << 20) - (tries << 16))))
      do {
        try body()
        #expect(tries > 10)
        for name in try files.contentsOfDirectory(atPath: DiskTrouble.disk) {
          try files.removeItem(atPath: DiskTrouble.disk + "/" + name)
        }
        return
      } catch let error as NodeError {
        #expect(error.description.contains("no space is left on the disk"), "\(error)")
        #expect(try files.contentsOfDirectory(atPath: DiskTrouble.disk) == ["ballast"])
      }
    }
    Issue.record("there was never enough room")
  }

  private func remount(_ how: String) throws {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/bin/mount")
    process.arguments = ["-o", "remount,\(how)", DiskTrouble.disk]
    try process.run()
    process.waitUntilExit()
    #expect(process.terminationStatus == 0)
  }
}

/// Writes records of 20 KB until there is no more room.
private actor SmallDiskWriter {
  let node: DWNNode
  let person: Person
  private(set) var taken: Set<Int> = []

  init(node: DWNNode, person: Person) {
    self.node = node
    self.person = person
  }

  func install() async throws {
    let definition: JSONValue = [
      "protocol": .string(TestTenancy.protocolURI), "published": true, "types": ["box": [:]], "structure": ["box": [:]],
    ]
    let configure = person.signer.protocolsConfigure(definition, at: .now())
    #expect(
      try await node.process(tenant: person.did, message: configure.message.value, data: nil).status.code == 202)
  }

  /// What those were told that found no room.
  nonisolated func fill() async -> [String] {
    await withTaskGroup(of: String?.self, returning: [String].self) { group in
      for client in 0..<4 {
        group.addTask {
          for number in 0..<1000 {
            if let refusal = await self.write(number: client * 1000 + number) { return refusal }
          }
          return nil
        }
      }
      var refusals: [String] = []
      for await refusal in group { if let refusal { refusals.append(refusal) } }
      return refusals
    }
  }

  /// `nil` when it was taken.
  func write(number: Int) async -> String? {
    let draft = RecordDraft(
      protocolURI: TestTenancy.protocolURI, path: "box", tags: ["number": .integer(Int64(number))],
      data: [UInt8](repeating: UInt8(number % 251), count: 20_000))
    let write = person.signer.recordsWrite(draft, at: .now() + .milliseconds(Int64(number)))
    do {
      let reply = try await node.process(tenant: person.did, message: write.message.value, data: draft.data)
      guard reply.status.code == 202 else { return "\(reply.status)" }
      taken.insert(number)
      return nil
    } catch {
      return "\(error)"
    }
  }

  /// The numbers of the records that are there.
  func found() async throws -> Set<Int> {
    let filter = RecordsFilter(protocolURI: TestTenancy.protocolURI, path: "box")
    let query = person.signer.recordsQuery(filter, at: .now())
    let reply = try await node.process(tenant: person.did, message: query.message.value, data: nil)
    return Set(reply.entries.compactMap { $0.message["descriptor"]?["tags"]?["number"]?.integer.map { Int($0) } })
  }
}
