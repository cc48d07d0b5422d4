import DWNClient
import Foundation
import Glibc
import Identity
import Wire

/// A node in a process of its own, which clients reach over the sockets of loopback.
final class ServedNode {
  private let process: ChildProcess
  let url: EndpointURL
  /// A client has eight connections; so many of them have one for each of 64 who ask at once.
  let clients: [HTTPEndpoint]

  var pid: pid_t { process.pid }

  init(in folder: URL, tenant: DID) throws {
    process = try ChildProcess(
      [CommandLine.arguments[0], "node-end", "--data", folder.path, "--tenant", tenant.text], isTalking: true)
    let url = try EndpointURL("http://" + process.hear())
    self.url = url
    clients = (0..<8).map { _ in HTTPEndpoint(url) }
  }

  /// In MiB.
  func memory(_ line: String) throws -> Double { try ProcessMemory.status(line, of: pid) }

  func stop() async {
    for client in clients { await client.shutdown() }
    process.stop()
  }
}
