import Foundation
import Glibc
import Wire

/// A machine with meshd on it: a network of its own, a home, and a state directory.
struct MeshdHost: Sendable {
  let namespace: NetworkNamespace
  let home: URL
  /// The state directory; two of one machine make two daemons.
  let state: URL

  init(_ namespace: NetworkNamespace, in folder: URL, state: String = "state") throws {
    self.namespace = namespace
    home = folder.appendingPathComponent(namespace.label, isDirectory: true)
    self.state = home.appendingPathComponent(state, isDirectory: true)
    let bin = home.appendingPathComponent("bin", isDirectory: true)
    try FileManager.default.createDirectory(at: bin, withIntermediateDirectories: true)
    let link = bin.appendingPathComponent("meshd")
    if !FileManager.default.fileExists(atPath: link.path) {
      try FileManager.default.createSymbolicLink(at: link, withDestinationURL: MeshdBinary.url)
    }
  }

  /// The command as the shell of a person on this machine would start it.
  func typed(_ words: [String]) -> [String] {
    [
      "env", "-i", "PATH=\(home.path)/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
      "HOME=\(home.path)", "MESHD_STATE_DIR=\(state.path)", "LC_ALL=C",
    ] + words
  }

  /// Runs `meshd WORDS…`, whatever comes of it.
  func attempt(_ words: [String], limit: Duration = .seconds(90)) async throws -> NetworkNamespace.Outcome {
    try await namespace.attempt(typed(["meshd"] + words), limit: limit)
  }

  /// Runs `meshd WORDS…`, which must succeed, and returns what it printed.
  @discardableResult
  func meshd(_ words: String..., limit: Duration = .seconds(90)) async throws -> String {
    try await run(["meshd"] + words, limit: limit)
  }

  /// Runs a whole command line, which must succeed.
  @discardableResult
  func run(_ command: [String], limit: Duration = .seconds(90)) async throws -> String {
    let outcome = try await namespace.attempt(typed(command), limit: limit)
    guard outcome.succeeded else {
      throw CommandFailure(namespace: namespace.label, command: command, outcome: outcome)
    }
    return outcome.output
  }

  /// `meshd WORDS… --json`.
  func json(_ words: String...) async throws -> JSONValue {
    try JSONValue(parsing: Array(try await run(["meshd"] + words + ["--json"]).utf8))
  }

  /// `meshd status --json`.
  func status() async throws -> JSONValue { try await json("status") }

  /// A text member of `meshd status --json`.
  func status(_ member: String) async throws -> String {
    let status = try await status()
    guard let text = status[member]?.string else {
      throw Missing(what: "\(member) in the status of \(namespace.label)", in: status.text)
    }
    return text
  }

  /// Ends the daemon as a power cut would: at once, and without asking it.
  func killDaemon() async throws {
    let status = try await status()
    guard let pid = status["pid"]?.integer.flatMap({ pid_t(exactly: $0) }), pid > 1 else {
      throw Missing(what: "pid in the status of \(namespace.label)", in: status.text)
    }
    guard try await processes().contains(pid) else {
      throw Missing(what: "process \(pid)", in: "the processes of \(namespace.label)")
    }
    kill(pid, SIGKILL)
    let gone = try await eventually(.seconds(5)) { try await !processes().contains(pid) }
    guard gone else { throw Missing(what: "the end of process \(pid)", in: namespace.label) }
  }

  /// The processes that run on this machine.
  func processes() async throws -> [pid_t] {
    let outcome = try await NetworkNamespace.command(["ip", "netns", "pids", namespace.name])
    return outcome.output.split(whereSeparator: \.isWhitespace).compactMap { pid_t($0) }
  }

  /// Whether nothing runs on this machine any more. A daemon that reports its failure to the command ends a moment after it.
  func isQuiet() async throws -> Bool {
    try await eventually(.seconds(5)) { try await processes().isEmpty }
  }

  /// Everything in this machine's network that a daemon could leave behind: links, addresses, routes, rules, filters.
  func networkState() async throws -> String {
    var state = ""
    for command in [
      "ip -o link", "ip -o address", "ip -4 route show table all", "ip -6 route show table all", "ip -4 rule",
      "ip -6 rule",
      "nft list ruleset",
    ] {
      state += "# \(command)\n" + (try await namespace.run(command.split(separator: " ").map(String.init)))
    }
    return state
  }

  /// Whether this machine gets an answer to a ping within `limit`.
  func reaches(_ address: String, within limit: Duration = .seconds(15)) async throws -> Bool {
    try await eventually(limit, every: .zero) {
      try await namespace.attempt(["ping", "-n", "-c", "1", "-W", "1", address]).succeeded
    }
  }

  /// The end of the daemon's log, for messages.
  var logTail: String {
    let text = (try? String(contentsOf: state.appendingPathComponent("meshd.log"), encoding: .utf8)) ?? "(no log)"
    return text.split(separator: "\n").suffix(25).map { "    \(namespace.label): \($0)" }.joined(separator: "\n")
  }
}

/// Something that should have been there.
struct Missing: Error, CustomStringConvertible {
  let what: String
  let place: String

  init(what: String, in place: String) {
    self.what = what
    self.place = place
  }

  var description: String { "missing: \(what), in: \(place)" }
}
