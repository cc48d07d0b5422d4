import Agent
import ArgumentParser
import DWNNode
import Foundation
import Identity
import Wire

/// Which node a command is about.
struct NodeFolderOption: ParsableArguments {
  @Option(
    name: .customLong("data"),
    help: ArgumentHelp("The node's folder: that of 'dwn serve --data', or a state directory.", valueName: "dir"),
    completion: .directory)
  var directory: String

  var folder: NodeFolder { NodeFolder(directory) }
}

extension DWNCommand {
  struct Tenants: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "List those whose records a node keeps.")

    @OptionGroup var node: NodeFolderOption
    @OptionGroup var json: JSONOption

    func run() throws {
      let archive = try NodeArchive(databasePath: node.folder.databasePath)
      defer { archive.close() }
      let tenants = try archive.tenants()
      if json.isOn {
        return Terminal.print(
          json: .array(
            tenants.map { tenant in
              var object: JSONObject = [
                "did": .string(tenant.tenant.text), "messages": .integer(Int64(tenant.usage.messages)),
                "bytes": .integer(Int64(tenant.usage.bytes)),
                "messagesOfOthers": .integer(Int64(tenant.usage.guestMessages)),
                "bytesOfOthers": .integer(Int64(tenant.usage.guestBytes)), "head": .integer(tenant.head),
              ]
              object["registeredAt"] = tenant.registeredAt.map { .string($0) }
              return .object(object)
            }))
      }
      print(
        Terminal.table(
          ["MESSAGES", "SIZE", "OF OTHERS", "REGISTERED", "DID"],
          tenants.map {
            [
              "\($0.usage.messages)", ByteCount.text($0.usage.bytes), ByteCount.text($0.usage.guestBytes),
              $0.registeredAt.map { String($0.prefix(10)) } ?? "-",
              $0.tenant.text,
            ]
          }))
    }
  }

  struct Stats: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Say what a node keeps in all.")

    @OptionGroup var node: NodeFolderOption
    @OptionGroup var json: JSONOption

    func run() throws {
      let archive = try NodeArchive(databasePath: node.folder.databasePath)
      defer { archive.close() }
      let statistics = try archive.statistics()
      if json.isOn {
        var messages = JSONObject()
        for kind in ["write", "delete", "configure"] {
          messages[kind] = .integer(Int64(statistics.messages[kind] ?? 0))
        }
        return Terminal.print(
          json: [
            "tenants": .integer(Int64(statistics.tenants)), "registrations": .integer(Int64(statistics.registrations)),
            "records": .integer(Int64(statistics.records)), "messages": .object(messages),
            "bytes": .integer(Int64(statistics.bytes)),
            "messagesOfOthers": .integer(Int64(statistics.guestMessages)),
            "bytesOfOthers": .integer(Int64(statistics.guestBytes)), "dataFiles": .integer(Int64(statistics.dataFiles)),
            "dataFileBytes": .integer(Int64(statistics.dataFileBytes)),
            "databaseBytes": .integer(Int64(statistics.databaseBytes)),
            "logBytes": .integer(Int64(statistics.logBytes)), "epoch": .string(statistics.epoch),
            "schemaVersion": .integer(Int64(statistics.schemaVersion)), "bounds": bounds(statistics),
          ])
      }
      print("Tenants:     \(statistics.tenants) (\(statistics.registrations) registered)")
      print("Records:     \(statistics.records)")
      let messages = ["write", "delete", "configure"].map { "\(statistics.messages[$0] ?? 0) \($0)" }
      print("Messages:    \(messages.joined(separator: ", ")): \(ByteCount.text(statistics.bytes)) with their data")
      print(
        "Of others:   \(statistics.guestMessages) messages, \(ByteCount.text(statistics.guestBytes)): what was not sent by its tenant"
      )
      print("Database:    \(ByteCount.text(statistics.databaseBytes)), log \(ByteCount.text(statistics.logBytes))")
      print("Room:        \(room(statistics))")
      print("Large data:  \(statistics.dataFiles) files, \(ByteCount.text(statistics.dataFileBytes))")
      print("Feed epoch:  \(statistics.epoch)")
    }

    private func bounds(_ statistics: NodeStatistics) -> JSONValue {
      func number(_ value: Int?) -> JSONValue { value.map { .integer(Int64($0)) } ?? .null }
      return [
        "totalBytes": number(statistics.bounds.total), "tenants": number(statistics.bounds.tenants),
        "freeDiskBytes": number(statistics.bounds.freeDisk), "freeDiskBytesNow": number(statistics.freeDisk),
      ]
    }

    private func room(_ statistics: NodeStatistics) -> String {
      let bounds = statistics.bounds
      var parts = [
        bounds.total.map { "\(ByteCount.text($0)) in all" }, bounds.tenants.map { "\($0) tenants who are not named" },
      ].compactMap { $0 }
      if let free = statistics.freeDisk {
        parts.append(
          "\(ByteCount.text(free)) of the disk are free, of which \(ByteCount.text(bounds.freeDisk)) stay so")
      }
      return parts.joined(separator: "; ")
    }
  }

  struct Check: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Look at everything that a node keeps, and change nothing; the node may run.",
      discussion: """
        The database is read page by page, and every message and all data are compared with their CIDs. The command ends with 1 \
        if something is not as it has to be.
        """)

    @OptionGroup var node: NodeFolderOption
    @OptionGroup var json: JSONOption

    func run() throws {
      let progress = JobReport("Checking")
      let report = try NodeCheck.run(on: node.folder.databasePath, progress: progress.update)
      let findings = report.findings.count + report.furtherFindings
      if json.isOn {
        Terminal.print(
          json: [
            "messages": .integer(Int64(report.messages)), "bytes": .integer(Int64(report.bytes)),
            "findings": .array(report.findings.map { .string($0) }), "findingCount": .integer(Int64(findings)),
          ])
      } else {
        print("Looked at \(report.messages) messages and \(ByteCount.text(report.bytes)) of data: \(findings) findings")
        for finding in report.findings { Terminal.warning(finding) }
        if report.furtherFindings > 0 { Terminal.warning("and \(report.furtherFindings) more") }
      }
      if !report.isSound { throw ExitCode(1) }
    }
  }

  struct Backup: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Copy everything that a node has, while it runs.",
      discussion:
        """
        The copy is of one instant, and was checked when the command ends. 'meshd dwn restore' makes a node of it. Large data that \
        the disk changed is left out and named; the command ends with 1 then.
        """)

    @OptionGroup var node: NodeFolderOption
    @Argument(help: ArgumentHelp("A folder that is not there yet.", valueName: "folder"), completion: .directory)
    var destination: String
    @OptionGroup var json: JSONOption

    func run() throws {
      let destination = NodeFolder(destination).path
      let report = JobReport("Copying", endsInOrder: true)
      let summary = try NodeBackup.make(of: node.folder.databasePath, to: destination, progress: report.update)
      if json.isOn {
        Terminal.print(
          json: [
            "backup": .string(destination), "bytes": .integer(Int64(summary.bytes)),
            "messages": .integer(Int64(summary.messages)), "dataFiles": .integer(Int64(summary.dataFiles)),
            "withoutData": .array(summary.withoutData.map { .string($0) }),
          ])
      } else {
        print("Backed up \(summary.messages) messages (\(ByteCount.text(summary.bytes))) to \(destination)")
        for cid in summary.withoutData.prefix(100) {
          Terminal.warning("without its data, which is lost or not what it was: the message \(cid)")
        }
      }
      if !summary.withoutData.isEmpty { throw ExitCode(1) }
    }
  }

  struct Restore: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Make a node's folder out of a backup, where there is none.",
      discussion: """
        Subscribers are told to look at everything again: what was written after the backup is gone, and their place in the \
        feed means nothing any more.
        """)

    @OptionGroup var node: NodeFolderOption
    @Argument(help: ArgumentHelp("What 'meshd dwn backup' made.", valueName: "folder"), completion: .directory)
    var backup: String
    @OptionGroup var json: JSONOption

    func run() async throws {
      let report = JobReport("Restoring", endsInOrder: true)
      let summary = try await node.folder.alone {
        try NodeRestore.run(from: NodeFolder(backup).path, to: $0, progress: report.update)
      }
      if json.isOn {
        return Terminal.print(
          json: [
            "data": .string(node.folder.path), "tenants": .integer(Int64(summary.tenants)),
            "messages": .integer(Int64(summary.messages)), "dataFiles": .integer(Int64(summary.dataFiles)),
            "epoch": .string(summary.epoch),
          ])
      }
      print("Restored \(summary.messages) messages of \(summary.tenants) tenants to \(node.folder.path)")
    }
  }

  struct Export: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Write all messages of one tenant into a file, while the node runs.",
      discussion: "The file holds one JSON object a line, zstd-compressed: 'zstdcat FILE' shows it.")

    @OptionGroup var node: NodeFolderOption
    @Argument(help: ArgumentHelp("Whose messages.", valueName: "tenant")) var tenant: DID
    @Argument(help: ArgumentHelp("A file that is not there yet.", valueName: "file"), completion: .file())
    var file: String
    @OptionGroup var json: JSONOption

    func run() throws {
      let report = JobReport("Exporting", endsInOrder: true)
      let summary = try TenantExport.run(
        of: tenant, in: node.folder.databasePath, to: file, at: .now(), progress: report.update)
      if json.isOn {
        Terminal.print(
          json: [
            "tenant": .string(tenant.text), "file": .string(file), "messages": .integer(Int64(summary.messages)),
            "bytes": .integer(Int64(summary.bytes)), "compressedBytes": .integer(Int64(summary.compressedBytes)),
            "withoutData": .integer(Int64(summary.withoutData)),
          ])
      } else {
        print("Exported \(summary.messages) messages to \(file) (\(ByteCount.text(summary.compressedBytes)))")
        if summary.withoutData > 0 {
          Terminal.warning(
            "\(summary.withoutData) of them without their data, which is not there: 'meshd dwn check' names what is lost"
          )
        }
      }
      if summary.withoutData > 0 { throw ExitCode(1) }
    }
  }

  struct Import: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Take in what 'meshd dwn export' wrote, for a tenant of whom the node has nothing.",
      discussion: """
        No node may be running on the folder. Every message is checked as if it came now; what does not pass is left out and \
        named, and the command then ends with 1. When less of the disk than --min-free would be left, nothing is taken.
        """)

    @OptionGroup var node: NodeFolderOption
    @Argument(help: ArgumentHelp("The export.", valueName: "file"), completion: .file()) var file: String
    @Option(
      name: .customLong("min-free"), help: ArgumentHelp("Megabytes of the disk that stay free.", valueName: "MB"))
    var freeMegabytes = NodeBounds.usualFreeDisk >> 20
    @OptionGroup var dids: DIDOptions
    @OptionGroup var json: JSONOption

    func validate() throws {
      guard (0...1_000_000_000).contains(freeMegabytes) else {
        throw ValidationError("--min-free is a number of megabytes, or 0")
      }
      try dids.settings.checkUsage()
    }

    func run() async throws {
      let report = JobReport("Importing", endsInOrder: true)
      let directory = try dids.settings.directory()
      let summary = try await node.folder.alone {
        try await TenantImport.run(
          file, into: $0, directory: directory, keepingFree: freeMegabytes << 20, progress: report.update)
      }
      let refused = summary.refused.count + summary.furtherRefusals
      if json.isOn {
        Terminal.print(
          json: [
            "tenant": .string(summary.tenant.text), "messages": .integer(Int64(summary.messages)),
            "refused": .integer(Int64(refused)), "repairs": .array(summary.repairs.map { .string($0) }),
            "withoutData": .integer(Int64(summary.withoutData)),
            "refusals": .array(
              summary.refused.map { ["messageCid": .string($0.messageCID), "reason": .string($0.reason)] }),
          ])
      } else {
        for repair in summary.repairs { Terminal.warning("before the import: \(repair)") }
        print("Imported \(summary.messages) messages of \(summary.tenant)")
        for refusal in summary.refused { Terminal.warning("left out \(refusal.messageCID): \(refusal.reason)") }
        if summary.furtherRefusals > 0 { Terminal.warning("left out \(summary.furtherRefusals) more") }
        if summary.withoutData > 0 {
          Terminal.warning(
            "\(summary.withoutData) records came without their data: nobody can read them until it is sent again")
        }
      }
      if refused > 0 { throw ExitCode(1) }
    }
  }
}

/// Sizes for people, in the units of the flags: a megabyte is 2^20 bytes.
enum ByteCount {
  static func text(_ bytes: Int) -> String {
    var value = Double(bytes)
    for unit in ["B", "KB", "MB", "GB"] {
      if value < 1024 {
        return unit == "B" ? "\(bytes) B" : String(format: value < 10 ? "%.1f %@" : "%.0f %@", value, unit)
      }
      value /= 1024
    }
    return String(format: "%.1f TB", value)
  }
}
