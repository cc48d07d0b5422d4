import DWN
import Foundation
import GRDB
import Identity
import TestSupport
import Testing
import Wire

@testable import DWNNode

/// A backup is of one instant, made while the node works; what is made of it goes on from there.
@Suite(.timeLimit(.minutes(10)))
struct BackupTests {
  private let contents: NodeContents
  private var tenancy: TestTenancy { contents.tenancy }
  private var backup: String { tenancy.folder.appendingPathComponent("backup").path }
  private var restored: String { tenancy.folder.appendingPathComponent("again/node.sqlite").path }

  init() async throws {
    contents = try await NodeContents(try TestTenancy())
    try FileManager.default.createDirectory(
      at: tenancy.folder.appendingPathComponent("again"), withIntermediateDirectories: true)
  }

  @Test("a node made of a backup shows what the node showed when it was made, in a new epoch of its feed")
  func roundTrip() async throws {
    let before = try await contents.seen(by: tenancy.node)
    var steps = 0
    let summary = try NodeBackup.make(of: tenancy.databasePath, to: backup) { _, _ in steps += 1 }
    #expect(summary.dataFiles == 1 && summary.bytes > 1 << 20 && steps > 0)
    _ = try await tenancy.write(tenancy.alice, "room", data: "later")

    let epoch = try NodeArchive(databasePath: tenancy.databasePath).statistics().epoch
    let outcome = try NodeRestore.run(from: backup, to: restored)
    #expect(outcome.messages == summary.messages && outcome.tenants == 1 && outcome.epoch != epoch)
    let again = try DWNNode(databasePath: restored, tenants: [tenancy.alice.did])
    #expect(try await contents.seen(by: again) == before)
    let write = tenancy.alice.signer.recordsWrite(tenancy.draft("room"), at: tenancy.tick())
    let reply = try await again.process(
      tenant: tenancy.alice.did, message: write.message.value, data: Array("{}".utf8))
    #expect(reply.status.code == 202)
    await again.close()
    #expect(try await contents.seen(by: tenancy.node).count == before.count)
  }

  @Test("a backup made while many write holds some instant of it, whole")
  func whileWriting() async throws {
    let room = try await tenancy.write(tenancy.alice, "room")
    let writing = Task {
      var latest = room
      for number in 0..<200 {
        let draft = RecordDraft(updating: latest, data: Array("\(number)".utf8))
        latest = tenancy.alice.signer.recordsWrite(draft, at: tenancy.tick())
        _ = try await tenancy.send(latest.signed, data: draft.data)
        _ = try await tenancy.write(tenancy.alice, "room", data: "\(number)")
      }
    }
    for number in 0..<3 {
      let path = backup + "\(number)"
      _ = try NodeBackup.make(of: tenancy.databasePath, to: path)
      let copy = tenancy.folder.appendingPathComponent("again\(number).sqlite").path
      try FileManager.default.moveItem(atPath: path + "/node.sqlite", toPath: path + "/again\(number).sqlite")
      try FileManager.default.moveItem(
        atPath: path + "/node.sqlite-data", toPath: path + "/again\(number).sqlite-data")
      _ = try NodeRestore.run(from: path, to: copy)
      let statistics = try NodeArchive(databasePath: copy).statistics()
      let tenants = try NodeArchive(databasePath: copy).tenants()
      #expect(tenants.map(\.usage.messages) == [statistics.messages.values.reduce(0, +)])
    }
    try await writing.value
  }

  @Test("nothing that is there is overwritten, and nothing half made stays")
  func neverOverwrites() throws {
    try FileManager.default.createDirectory(atPath: backup, withIntermediateDirectories: true)
    _ = FileManager.default.createFile(atPath: backup + "/mine", contents: nil)
    #expect(throws: NodeError.wouldOverwrite(path: backup)) {
      try NodeBackup.make(of: tenancy.databasePath, to: backup)
    }
    try FileManager.default.removeItem(atPath: backup + "/mine")
    _ = try NodeBackup.make(of: tenancy.databasePath, to: backup)
    #expect(throws: NodeError.wouldOverwrite(path: tenancy.databasePath)) {
      try NodeRestore.run(from: backup, to: tenancy.databasePath)
    }
    #expect(throws: NodeError.noDatabase(path: restored)) { try NodeBackup.make(of: restored, to: backup + "2") }
    #expect(
      try FileManager.default.contentsOfDirectory(atPath: tenancy.folder.path).sorted().filter { $0.contains("part") }
        == [])
  }

  @Test("a restore that cannot bring the new epoch into the one file says so, and leaves nothing")
  func logThatStays() throws {
    _ = try NodeBackup.make(of: tenancy.databasePath, to: backup)
    let folder = tenancy.folder.appendingPathComponent("again").path
    let size = try #require(FileCopy.size(backup + "/node.sqlite"))
    var held: DatabaseSnapshot?
    // Somebody who reads what is being made keeps its log from being brought in, as a disk does that is full.
    let error = #expect(throws: NodeError.self) {
      try NodeRestore.run(from: backup, to: restored) { _, _ in
        guard held == nil, let names = FileCopy.names(in: folder),
          let part = names.first(where: { $0.hasSuffix(".part") }), FileCopy.size(folder + "/" + part) == size
        else { return }
        held = try? DatabasePool(path: folder + "/" + part).makeSnapshot()
      }
    }
    #expect(held != nil)
    guard case .databaseInUse? = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(FileCopy.names(in: folder) == [])
    held = nil
    let epoch = try NodeRestore.run(from: backup, to: restored).epoch
    #expect(try NodeArchive(databasePath: restored).statistics().epoch == epoch)
  }

  @Test("a restore goes on where one was killed that had moved the large data, and overwrites no other")
  func killed() async throws {
    let before = try await contents.seen(by: tenancy.node)
    _ = try NodeBackup.make(of: tenancy.databasePath, to: backup)
    let data = restored + "-data"
    try FileManager.default.copyItem(atPath: backup + "/node.sqlite-data", toPath: data)
    _ = FileManager.default.createFile(atPath: data + "/mine", contents: Data([1]))
    #expect(throws: NodeError.wouldOverwrite(path: data)) { try NodeRestore.run(from: backup, to: restored) }
    #expect(FileCopy.names(in: data)?.count == 2)
    try FileManager.default.removeItem(atPath: data + "/mine")
    #expect(try NodeRestore.run(from: backup, to: restored).dataFiles == 1)
    let again = try DWNNode(databasePath: restored, tenants: [tenancy.alice.did])
    #expect(try await contents.seen(by: again) == before)
    await again.close()
  }

  /// In the middle, so that the file is as long as before.
  private func flipByte(of path: String) throws {
    let handle = try #require(FileHandle(forUpdatingAtPath: path))
    try handle.seek(toOffset: 500_000)
    let byte = try #require(try handle.read(upToCount: 1)?.first)
    try handle.seek(toOffset: 500_000)
    try handle.write(contentsOf: Data([byte ^ 1]))
    try handle.close()
  }

  @Test(
    "data that a disk changed or lost is found while it is copied, and the rest is backed up", arguments: [false, true])
  func changedData(isLost: Bool) async throws {
    let data = tenancy.databasePath + "-data"
    let name = try #require(FileManager.default.contentsOfDirectory(atPath: data).first)
    if isLost {
      try FileManager.default.removeItem(atPath: data + "/" + name)
    } else {
      try flipByte(of: data + "/" + name)
      let finding = try #require(try NodeCheck.run(on: tenancy.databasePath).findings.first)
      #expect(finding.contains(name))
    }
    let summary = try NodeBackup.make(of: tenancy.databasePath, to: backup)
    #expect(summary.dataFiles == 0 && summary.withoutData.count == 1)
    #expect(try FileManager.default.contentsOfDirectory(atPath: backup + "/node.sqlite-data") == [])
    #expect(try NodeRestore.run(from: backup, to: restored).messages == summary.messages)
    #expect(try NodeCheck.run(on: restored).isSound)
  }

  @Test("however many files of large data are lost, the rest is backed up")
  func manyLost() async throws {
    var contents = contents
    for number in 0..<6 { try await contents.large(size: (1 << 20) + number) }
    let folder = tenancy.databasePath + "-data"
    let names = try FileManager.default.contentsOfDirectory(atPath: folder)
    try #require(names.count == 7)
    for name in names.dropLast(2) { try FileManager.default.removeItem(atPath: folder + "/" + name) }
    let summary = try NodeBackup.make(of: tenancy.databasePath, to: backup)
    #expect(summary.dataFiles == 2 && summary.withoutData.count == 5)
  }

  @Test("a backup that lacks data, or is damaged, is refused in words, and leaves nothing")
  func damaged() throws {
    _ = try NodeBackup.make(of: tenancy.databasePath, to: backup)
    let data = backup + "/node.sqlite-data"
    let name = try #require(FileManager.default.contentsOfDirectory(atPath: data).first)
    try FileManager.default.moveItem(atPath: data + "/" + name, toPath: backup + "/kept")
    #expect(
      throws: NodeError.unusableBackup(path: backup, reason: "the data file \(name) is missing, or not what it was")
    ) {
      try NodeRestore.run(from: backup, to: restored)
    }
    try FileManager.default.moveItem(atPath: backup + "/kept", toPath: data + "/" + name)
    try flipByte(of: data + "/" + name)
    #expect(
      throws: NodeError.unusableBackup(path: backup, reason: "the data file \(name) is missing, or not what it was")
    ) { try NodeRestore.run(from: backup, to: restored) }
    try flipByte(of: data + "/" + name)
    let handle = try #require(FileHandle(forWritingAtPath: backup + "/node.sqlite"))
    try handle.truncate(atOffset: 20_000)
    try handle.close()
    #expect(throws: NodeError.self) { try NodeRestore.run(from: backup, to: restored) }
    #expect(try FileManager.default.contentsOfDirectory(atPath: tenancy.folder.path + "/again").isEmpty)
  }
}
