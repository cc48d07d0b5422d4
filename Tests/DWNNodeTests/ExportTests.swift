import DWN
import Foundation
import Identity
import TestSupport
import Testing
import Wire

@testable import DWNNode

/// What a tenant takes along to another node: everything, checked again on arrival.
@Suite(.timeLimit(.minutes(10)))
struct ExportTests {
  private let contents: NodeContents
  private var tenancy: TestTenancy { contents.tenancy }
  private var export: String { tenancy.folder.appendingPathComponent("export.zst").path }
  private var other: String { tenancy.folder.appendingPathComponent("other/node.sqlite").path }

  init() async throws {
    contents = try await NodeContents(try TestTenancy())
  }

  private func lines() throws -> [String] { try ExportFile.lines(of: export) }
  private func write(_ lines: [String]) throws { try ExportFile.write(lines, to: export) }

  private func exportAll() throws -> TenantExport.Summary {
    try TenantExport.run(of: tenancy.alice.did, in: tenancy.databasePath, to: export, at: tenancy.tick())
  }

  @Test("who imports an export shows everybody what the node showed that it came from")
  func roundTrip() async throws {
    let before = try await contents.seen(by: tenancy.node)
    let exported = try exportAll()
    let imported = try await TenantImport.run(export, into: other)
    #expect(imported.refused == [])
    #expect(imported.messages == exported.messages && imported.tenant == tenancy.alice.did)
    let node = try DWNNode(databasePath: other, tenants: [tenancy.alice.did])
    let after = try await contents.seen(by: node)
    for (before, after) in zip(before, after) { #expect(before == after) }
    await node.close()
    await #expect(throws: NodeError.tenantNotEmpty(tenancy.alice.did.text, messages: exported.messages)) {
      try await TenantImport.run(export, into: other)
    }
  }

  @Test("large data that the node removes meanwhile is exported, and what is lost is left out and counted")
  func vanishing() async throws {
    let data = tenancy.databasePath + "-data"
    func names() throws -> [String] { try FileManager.default.contentsOfDirectory(atPath: data) }
    let name = try #require(try names().first)
    let exported = try TenantExport.run(
      of: tenancy.alice.did, in: tenancy.databasePath, to: export, at: tenancy.tick()
    ) { _, _ in unlink(data + "/" + name) }
    #expect(try names() == [] && exported.withoutData == 0)
    let imported = try await TenantImport.run(export, into: other)
    #expect(imported.refused == [] && imported.withoutData == 0 && imported.messages == exported.messages)
    try FileManager.default.removeItem(atPath: export)
    #expect(try exportAll().withoutData == 1)
    let lacking = tenancy.folder.appendingPathComponent("lacking/node.sqlite").path
    #expect(try await TenantImport.run(export, into: lacking).withoutData == 1)
  }

  @Test(
    "what an administrator imports into the folder of a service is the service's",
    .enabled(if: geteuid() == 0, "only root may give files away"))
  func administrator() async throws {
    _ = try exportAll()
    let folder = tenancy.folder.appendingPathComponent("other").path
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    try #require(chown(folder, 12_345, 12_346) == 0)
    _ = try await TenantImport.run(export, into: other)
    var paths = [other, other + "-data"]
    paths += try FileManager.default.contentsOfDirectory(atPath: other + "-data").map { other + "-data/" + $0 }
    #expect(paths.count == 3)
    for path in paths {
      var status = stat()
      #expect(stat(path, &status) == 0 && status.st_uid == 12_345 && status.st_gid == 12_346, "\(path)")
    }
  }

  @Test("a message that was changed, or whose author had no right to it, is left out and named")
  func forged() async throws {
    _ = try exportAll()
    var all = try lines()
    let stranger = tenancy.draft("blob", data: "{}")
    let forged = tenancy.carol.signer.recordsWrite(stranger, at: tenancy.tick())
    let entry = ExportLine.message(
      .init(message: forged.message.value, content: .bytes(stranger.data), kept: .init(share: .tenant)))
    let index = try #require(all.firstIndex { $0.contains(#""data":"#) && !$0.contains("message") })
    all[index] = ExportLine.data([UInt8](repeating: 7, count: ExportLine.chunk)).json.text
    all.insert(entry.json.text, at: all.count - 1)
    all[all.count - 1] = ExportLine.end(messages: all.count { $0.contains(#""message":"#) }).json.text
    try write(all)
    let imported = try await TenantImport.run(export, into: other)
    #expect(imported.refused.count == 2)
    #expect(imported.refused.contains { $0.messageCID == forged.cid.text && $0.reason.contains("Authorization") })
    #expect(imported.refused.contains { $0.reason.contains("RecordsWriteDataCidMismatch") })
  }

  @Test("an export that was cut off, or is none, is refused as a whole")
  func cutOff() async throws {
    _ = try exportAll()
    let whole = try Data(contentsOf: URL(fileURLWithPath: export))
    let all = try lines()
    for damage in [
      Data(whole.prefix(whole.count / 2)), Data(whole.dropLast(1)), Data("no zstd".utf8), Data(),
    ] {
      try damage.write(to: URL(fileURLWithPath: export))
      await #expect(throws: NodeError.self) { try await TenantImport.run(export, into: other) }
    }
    for lines in [Array(all.dropLast()), all.dropLast(3) + all.suffix(1), all + ["{}"], Array(all.dropFirst()), ["x"]] {
      try write(lines)
      await #expect(throws: NodeError.self) { try await TenantImport.run(export, into: other) }
    }
    #expect(try NodeArchive(databasePath: other).tenants() == [])
  }

  @Test("an export is of somebody whom the node knows, and takes the place of no file")
  func refusals() throws {
    #expect(throws: NodeError.unknownTenant(tenancy.bob.did.text)) {
      try TenantExport.run(of: tenancy.bob.did, in: tenancy.databasePath, to: export, at: tenancy.tick())
    }
    #expect(!FileManager.default.fileExists(atPath: export))
    _ = try exportAll()
    #expect(throws: NodeError.wouldOverwrite(path: export)) { try exportAll() }
  }

  @Test("compressed lines come back as they were, and one that is too long ends the reading")
  func compressedLines() throws {
    let seed = UInt64.random(in: .min ... .max)
    var random = SeededRandom(seed)
    let texts = (0..<200).map { _ in
      Base64.encode(SeededRandom(random.next()).bytes(Int.random(in: 0...5000, using: &random)))
    }
    try write(texts)
    #expect(try lines() == texts, "seed \(seed)")
    try write(["short", String(repeating: "a", count: ExportLine.longest + 200_000)])
    #expect(throws: NodeError.self) { try lines() }
  }
}
