import Agent
import ArgumentParser
import DWNNode
import Identity
import Glibc
import Logging
import Wire

/// `meshd dwn serve` for one tenant, on a port that it chooses and prints, until it is ended.
struct NodeEnd: AsyncParsableCommand {
  static let configuration = CommandConfiguration(commandName: "node-end", shouldDisplay: false)

  @Option var data: String
  @Option var tenant: String

  func run() async throws {
    guard let tenant = DID(tenant), let listen = SocketAddress("127.0.0.1:0") else {
      throw ValidationError("--tenant is a DID")
    }
    var log = Logger(label: "node")
    log.logLevel = .warning
    try await StandaloneNode.run(
      StandaloneNode.Options(listen: [listen], data: data, tenants: .listed([tenant])), logger: log
    ) { bound in
      print(bound[0])
      fflush(nil)
    }
  }
}
