import CCipherSwitch
import DWN
import Glibc
import Identity
import Wire

/// Writes that are on the disk when they are acknowledged: checked, authorized, indexed, and in the feed.
///
/// How much sharing a flush gains depends on how long a flush takes, so it is measured on this disk, and on one that is made slower in
/// the same run: flushes of ordinary drives without a capacitor take milliseconds.
struct NodeWrites: Benchmark {
  let title = "durable writes of a node"
  private static let rounds = 3
  private static let slice = Duration.seconds(2)
  private static let delays = [2, 5]

  func figures(_ effort: Effort) async throws -> [Figure] {
    try await NodeUnderTest.run { try await figures($0) }
  }

  private func figures(_ subject: NodeUnderTest) async throws -> [Figure] {
    let table = try DiskLimits.BareTable(in: subject.folder)
    let write = subject.signed("network/machine", below: subject.network).0.message.value
    var rates: [[Double]] = Array(repeating: [], count: 8)
    for _ in 0..<Self.rounds {
      rates[0].append(try DiskLimits.flushes(in: subject.folder, for: Self.slice / 2))
      rates[1].append(try table.rows(perCommit: 1, for: Self.slice / 2))
      rates[2].append(try table.rows(perCommit: 64, for: Self.slice / 2))
      rates[3].append(try await writes(subject, clients: 1, signed: 3_000).rate)
      let shared = try await writes(subject, clients: 64, signed: 16_000)
      rates[4].append(shared.rate)
      rates[5].append(NodeUnderTest.checks(of: write))
      rates[6].append(shared.processorTime * 1e6)
      rates[7].append(try await Self.turns(clients: 64))
    }
    let medians = rates.map(Clients.median)
    let flush = Figure("flushes of the disk, 4 KiB each", medians[0], "1/s")
    let bare = Figure("rows of bare SQLite, 64 a commit", medians[2], "1/s")
    let single = Figure("durable writes, 1 client", medians[3], versus: flush)
    let verification = Figure("checks of a signed write, one core", medians[5], "1/s")
    let turns = Figure("turns of the 64 clients, without a node", medians[7], "1/s")
    let available = Figure(
      "processor time that there is for each", 1e6 * Double(ProcessorTime.cores) / medians[4], "µs")
    return [
      single, Figure("rows of bare SQLite, 1 a commit", medians[1], versus: flush), flush,
      Figure("durable writes, 64 clients, beside bare SQLite", medians[4], versus: bare),
      Figure("durable writes, 64 clients, beside one client", medians[4], versus: single),
      Figure("durable writes, 64 clients, beside their checks", medians[4], versus: verification),
      Figure("durable writes, 64 clients, beside the clients alone", medians[4], versus: turns), bare, verification,
      turns, Figure("processor time of a durable write, 64 clients", medians[6], versus: available), available,
    ] + (try await slowDisk(subject))
  }

  /// The same where each flush takes so many milliseconds more.
  private func slowDisk(_ subject: NodeUnderTest) async throws -> [Figure] {
    defer { delay_flushes(0) }
    var figures: [Figure] = []
    for delay in Self.delays {
      delay_flushes(Int64(delay) * 1_000_000)
      var rates: [[Double]] = [[], []]
      for _ in 0..<Self.rounds {
        rates[0].append(try await writes(subject, clients: 1, signed: 1_000).rate)
        rates[1].append(try await writes(subject, clients: 64, signed: 10_000).rate)
      }
      let disk = "flushes \(delay) ms longer"
      let single = Figure("durable writes, 1 client, \(disk)", Clients.median(rates[0]), "1/s")
      figures += [
        Figure("durable writes, 64 clients, \(disk)", Clients.median(rates[1]), versus: single), single,
      ]
    }
    return figures
  }

  /// Writes a second, and the processor time of each, in seconds, with the clients' part of it.
  private func writes(
    _ subject: NodeUnderTest, clients: Int, signed count: Int
  ) async throws -> (rate: Double, processorTime: Double) {
    let writes = try await Prepared.writes(count, for: subject)
    let before = Self.processorTime
    let taken = Counter()
    let rate = try await Clients.rate(clients, for: Self.slice) { number in
      guard number < writes.count else { return false }
      try await subject.take(writes[number].0, data: writes[number].1)
      taken.take()
      return true
    }
    return (rate, (Self.processorTime - before) / Double(max(1, taken.value)))
  }

  /// Of this process, in seconds.
  private static var processorTime: Double {
    var time = timespec()
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
  }

  /// What the clients themselves can do: each waits for another task as it would for an answer.
  private static func turns(clients: Int) async throws -> Double {
    try await Clients.rate(clients, for: slice / 4) { _ in
      await Task.yield()
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
