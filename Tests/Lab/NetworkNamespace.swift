import Foundation
import Subprocess

/// An isolated host: a Linux network namespace with its own interfaces, routes and rules.
///
/// `NetworkLab` makes and deletes them; this type runs things inside one.
struct NetworkNamespace: Hashable, Sendable {
  /// Unique on the machine: it carries this process's id.
  let name: String
  /// What the test calls it, for messages.
  let label: String

  /// The file that `setns` and `EngineConfiguration.networkNamespace` take.
  var path: String { "/run/netns/\(name)" }

  /// What a command left behind.
  struct Outcome: Sendable {
    /// The exit status, or 128 and the number of the signal that ended it.
    let status: Int32
    let output: String
    let errors: String

    var succeeded: Bool { status == 0 }
  }

  /// Runs a command to its end inside the namespace and returns its standard output.
  ///
  /// - Throws: `CommandFailure` with the command's own words if it does not exit with 0 within `limit`.
  @discardableResult
  func run(_ command: String..., limit: Duration = .seconds(30)) async throws -> String {
    try await run(command, limit: limit)
  }

  @discardableResult
  func run(_ command: [String], limit: Duration = .seconds(30)) async throws -> String {
    let outcome = try await attempt(command, limit: limit)
    guard outcome.succeeded else { throw CommandFailure(namespace: label, command: command, outcome: outcome) }
    return outcome.output
  }

  /// Runs a command to its end, whatever its exit status. After `limit` it is killed (status 137).
  func attempt(_ command: [String], limit: Duration = .seconds(30)) async throws -> Outcome {
    try await NetworkNamespace.command(["ip", "netns", "exec", name] + command, limit: limit)
  }

  /// Adds an address (`10.0.0.1/24`) to an interface of the namespace, without IPv6 duplicate detection.
  func addAddress(_ address: String, to interface: String) async throws {
    var command = ["ip", "address", "add", address, "dev", interface]
    if address.contains(":") { command.append("nodad") }
    try await run(command)
  }

  /// Adds a route (`default`, `192.0.2.0/24`, `2001:db8::/32`) through a gateway.
  func addRoute(_ destination: String, via gateway: String) async throws {
    try await run("ip", gateway.contains(":") ? "-6" : "-4", "route", "replace", destination, "via", gateway)
  }

  /// Lets the namespace forward packets: a router between others.
  func enableForwarding() async throws {
    try await run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
  }

  /// Whether something listens on the TCP port.
  func listens(onTCP port: Int) async throws -> Bool { try await !run("ss", "-Hltn", "sport = :\(port)").isEmpty }

  /// Runs a command of the machine itself to its end.
  static func command(_ command: [String], limit: Duration = .seconds(30)) async throws -> Outcome {
    let seconds = max(1, Int(limit.components.seconds))
    let result = try await Subprocess.run(
      .name("timeout"), arguments: Arguments(["-k", "1", "-s", "KILL", "\(seconds)"] + command),
      output: .string(limit: 4 << 20), error: .string(limit: 1 << 20))
    return Outcome(
      status: exitStatus(result.terminationStatus), output: result.standardOutput, errors: result.standardError)
  }
}

/// The status as a shell gives it.
func exitStatus(_ status: TerminationStatus) -> Int32 {
  switch status {
  case .exited(let code): code
  case .signaled(let number): 128 + number
  }
}

/// A command that did not do what the test needs.
struct CommandFailure: Error, CustomStringConvertible {
  let namespace: String
  let command: [String]
  let outcome: NetworkNamespace.Outcome

  var description: String {
    let words = (outcome.errors + outcome.output).trimmingCharacters(in: .whitespacesAndNewlines)
    return "[\(namespace)] \(command.joined(separator: " ")): status \(outcome.status): \(words)"
  }
}
