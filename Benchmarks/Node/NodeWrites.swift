import Identity
import DWN
import Foundation
import Wire

/// Writes that are on the disk when they are acknowledged: checked, authorized, indexed, and in the feed.
struct NodeWrites: Benchmark {
  let title = "durable writes of a node"
  private static let rounds = 3
  private static let slice = Duration.seconds(2)

  func figures(_ effort: Effort) async throws -> [Figure] {
    try await NodeUnderTest.run { try await figures($0) }
  }

  private func figures(_ subject: NodeUnderTest) async throws -> [Figure] {
    let table = try DiskLimits.BareTable(in: subject.folder)
    let write = subject.signed("network/machine", below: subject.network).0.message.value
    var rates: [[Double]] = Array(repeating: [], count: 6)
    for _ in 0..<Self.rounds {
      rates[0].append(try DiskLimits.flushes(in: subject.folder, for: Self.slice / 2))
      rates[1].append(try table.rows(perCommit: 1, for: Self.slice / 2))
      rates[2].append(try table.rows(perCommit: 64, for: Self.slice / 2))
      rates[3].append(try await writes(subject, clients: 1, signed: 3_000))
      rates[4].append(try await writes(subject, clients: 64, signed: 16_000))
      rates[5].append(NodeUnderTest.checks(of: write))
    }
    let medians = rates.map(Clients.median)
    let flush = Figure("flushes of the disk, 4 KiB each", medians[0], "1/s")
    let bare = Figure("rows of bare SQLite, 64 a commit", medians[2], "1/s")
    let single = Figure("durable writes, 1 client", medians[3], versus: flush)
    let verification = Figure("checks of a signed write, one core", medians[5], "1/s")
    return [
      single, Figure("rows of bare SQLite, 1 a commit", medians[1], versus: flush), flush,
      Figure("durable writes, 64 clients, beside bare SQLite", medians[4], versus: bare),
      Figure("durable writes, 64 clients, beside one client", medians[4], versus: single),
      Figure("durable writes, 64 clients, beside their checks", medians[4], versus: verification), bare, verification,
    ]
  }

  private func writes(_ subject: NodeUnderTest, clients: Int, signed count: Int) async throws -> Double {
    let writes = try await Prepared.writes(count, for: subject)
    return try await Clients.rate(clients, for: Self.slice) { number in
      guard number < writes.count else { return false }
      try await subject.take(writes[number].0, data: writes[number].1)
      return true
    }
  }
}

/// Messages that are signed before anything is measured.
enum Prepared {
  static func writes(
    _ count: Int, for subject: NodeUnderTest, recipient: (@Sendable (Int) -> DID)? = nil
  ) async throws -> [(RecordsWrite, [UInt8])] {
    let parts = 8
    return try await withThrowingTaskGroup(of: [(RecordsWrite, [UInt8])].self) { group in
      for part in 0..<parts {
        group.addTask {
          let numbers = part * count / parts..<(part + 1) * count / parts
          return numbers.map { number in
            subject.signed("network/machine", below: subject.network, recipient: recipient?(number))
          }
        }
      }
      var writes: [(RecordsWrite, [UInt8])] = []
      for try await part in group { writes += part }
      return writes
    }
  }
}
