import Agent
import ArgumentParser
import DWNNode
import Identity
import Logging
import Wire

struct DWNCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "dwn", abstract: "Run a Decentralized Web Node by itself, and look after one.",
    subcommands: [
      Serve.self, Tenants.self, Stats.self, Backup.self, Restore.self, Export.self, Import.self,
    ])

  struct Serve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Serve the records of tenants until interrupted.",
      discussion: "With a certificate, SIGHUP reads its files again; without one it ends the node like SIGTERM.")

    @Option(
      help: ArgumentHelp(
        "Address to listen on; may be repeated (default 0.0.0.0:8787 and [::]:8787).", valueName: "addr:port"))
    var listen: [SocketAddress] = []
    @Option(
      name: .customLong("data"), help: ArgumentHelp("Folder for the records.", valueName: "dir"), completion: .directory
    )
    var dataDirectory: String
    @Option(
      name: .customLong("tenant"), parsing: .upToNextOption,
      help: ArgumentHelp("DIDs whose records are kept.", valueName: "did"))
    var tenants: [DID] = []
    @Flag(help: "Keep records of any DID. Whoever reaches the node can fill its disk.") var open = false
    @Option(
      name: .customLong("tls-cert"),
      help: ArgumentHelp("Certificate chain (PEM); TLS and plain HTTP then share the port.", valueName: "file"),
      completion: .file())
    var tlsCertificate: String?
    @Option(
      name: .customLong("tls-key"), help: ArgumentHelp("Private key of the certificate (PEM).", valueName: "file"),
      completion: .file())
    var tlsKey: String?
    @Flag(name: .customLong("tls-only"), help: "Close connections that do not begin with TLS.") var tlsOnly = false
    @Option(
      name: .customLong("trust-proxy"),
      help: ArgumentHelp(
        "Address or block of a reverse proxy whose X-Forwarded-For is believed; may be repeated.", valueName: "block"))
    var trustedProxies: [IPPrefix] = []
    @Flag(name: .customLong("access-log"), help: "Log a line for each message, without what it says.")
    var accessLog = false
    @Flag(help: "Answer /metrics to programs on this machine, for Prometheus.") var metrics = false
    @OptionGroup var dids: DIDOptions
    @Flag(name: .shortAndLong, help: "Log more.") var verbose = false

    func validate() throws {
      guard open || !tenants.isEmpty else { throw ValidationError("name at least one --tenant, or --open") }
      guard !open || tenants.isEmpty else { throw ValidationError("--open serves any DID: leave --tenant out") }
      guard (tlsCertificate == nil) == (tlsKey == nil) else {
        throw ValidationError("--tls-cert and --tls-key belong together")
      }
      guard !tlsOnly || tlsCertificate != nil else {
        throw ValidationError("--tls-only needs --tls-cert and --tls-key")
      }
      try dids.settings.checkUsage()
    }

    func run() async throws {
      var options = StandaloneNode.Options(
        listen: listen.isEmpty ? DaemonSettings.defaultListen : listen, data: dataDirectory,
        tenants: open ? .open : .listed(Set(tenants)))
      if let tlsCertificate, let tlsKey { options.tls = (tlsCertificate, tlsKey) }
      options.requiresTLS = tlsOnly
      options.trustedProxies = trustedProxies
      options.logsAccess = accessLog
      options.offersMetrics = metrics
      options.dids = dids.settings
      let served = open ? "any tenant" : "\(tenants.count) tenant\(tenants.count == 1 ? "" : "s")"
      try await StandaloneNode.run(options, logger: .meshd(verbose: verbose)) { bound in
        print("Serving \(served) on \(bound.map(\.description).joined(separator: ", "))")
      }
    }
  }
}
