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
      Serve.self, Tenants.self, Stats.self, Check.self, Backup.self, Restore.self, Export.self, Import.self,
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
    @Flag(help: "Keep records of any DID, each within the quota.") var open = false
    @Flag(help: "Keep records of any DID that registers with a proof of work, each within the quota.")
    var register = false
    @Option(
      help: ArgumentHelp("Terms of service (text) that whoever registers agrees to.", valueName: "file"),
      completion: .file())
    var terms: String?
    @Option(
      help: ArgumentHelp(
        "Work that a registration takes when few register: hashes that begin with so many zero bits.", valueName: "bits"
      ))
    var work = RegistrationRequirements.usualWork
    @Option(
      name: .customLong("max-messages"),
      help: ArgumentHelp("Messages of a tenant that is not named by --tenant.", valueName: "number"))
    var quotaMessages = 10_000
    @Option(
      name: .customLong("max-storage"),
      help: ArgumentHelp("Megabytes of a tenant that is not named by --tenant.", valueName: "MB"))
    var quotaMegabytes = 100
    @Option(
      name: .customLong("max-total"),
      help: ArgumentHelp(
        "Megabytes of all tenants together; beyond them only tenants named by --tenant write.", valueName: "MB"))
    var totalMegabytes: Int?
    @Option(
      name: .customLong("max-tenants"),
      help: ArgumentHelp("Tenants that are not named by --tenant.", valueName: "number"))
    var mostTenants: Int?
    @Option(
      name: .customLong("min-free"),
      help: ArgumentHelp(
        "Megabytes of the disk that stay free for tenants named by --tenant.", valueName: "MB"))
    var freeMegabytes = NodeBounds.usualFreeDisk >> 20
    @Option(
      name: .customLong("max-data"), help: ArgumentHelp("Megabytes of the data of one record.", valueName: "MB"))
    var largestMegabytes = 100
    @Option(
      name: .customLong("max-websockets"),
      help: ArgumentHelp(
        "Connections that stay open, for those who follow records (default 20000, or what the limit of open files leaves).",
        valueName: "number"))
    var webSockets: Int?
    @Option(
      name: .customLong("max-frame"),
      help: ArgumentHelp(
        "Kilobytes of one frame to those who follow records: more than 32 only where no Go meshd of v0.21 does.",
        valueName: "KB"))
    var frameKilobytes = WebSocketConfiguration.usualFrame >> 10
    @Option(
      name: .customLong("public-url"),
      help: ArgumentHelp("Where the node is reached from outside; told in /info.", valueName: "url"))
    var publicURL: String?
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
    @Flag(
      name: .customLong("without-lost-data"),
      help: ArgumentHelp(
        "Start though all large data is gone, or the log is damaged in its middle, and go on without what is lost for good."
      ))
    var withoutLostData = false
    @Flag(name: .customLong("access-log"), help: "Log a line for each message, without what it says.")
    var accessLog = false
    @Flag(help: "Answer /metrics to programs on this machine, for Prometheus.") var metrics = false
    @Flag(help: "Be as narrow as the newest SDK, and refuse what older clients send.") var strict = false
    @OptionGroup var dids: DIDOptions
    @OptionGroup var json: JSONOption
    @Flag(name: .shortAndLong, help: "Log more.") var verbose = false

    func validate() throws {
      guard (0...64).contains(work) else { throw ValidationError("--work takes 0 to 64 bits") }
      guard open || register || !tenants.isEmpty else {
        throw ValidationError("name at least one --tenant, or --register, or --open")
      }
      guard !open || tenants.isEmpty && !register else {
        throw ValidationError("--open serves any DID: leave --tenant and --register out")
      }
      guard terms == nil || register else { throw ValidationError("--terms is for those who --register") }
      guard (1...1_000_000_000).contains(quotaMessages), (1...1_000_000).contains(quotaMegabytes),
        (1...1_000_000).contains(largestMegabytes)
      else { throw ValidationError("--max-messages, --max-storage and --max-data are numbers above zero") }
      guard (1...1_000_000_000).contains(totalMegabytes ?? 1), (1...1_000_000_000).contains(mostTenants ?? 1) else {
        throw ValidationError("--max-total and --max-tenants are numbers above zero")
      }
      guard mostTenants == nil || open || register else {
        throw ValidationError("--max-tenants is for --register and --open")
      }
      guard (0...1_000_000_000).contains(freeMegabytes) else {
        throw ValidationError("--min-free is a number of megabytes, or 0")
      }
      guard webSockets.map({ (1...1_000_000).contains($0) }) ?? true else {
        throw ValidationError("--max-websockets is a number from 1 to 1000000")
      }
      guard (WebSocketConfiguration.usualFrame >> 10...1024).contains(frameKilobytes) else {
        throw ValidationError("--max-frame takes 32 to 1024 kilobytes")
      }
      guard (tlsCertificate == nil) == (tlsKey == nil) else {
        throw ValidationError("--tls-cert and --tls-key belong together")
      }
      guard !tlsOnly || tlsCertificate != nil else {
        throw ValidationError("--tls-only needs --tls-cert and --tls-key")
      }
      try dids.settings.checkUsage()
      do {
        if let publicURL { try ServedTexts.check(publicURL: publicURL) }
        if let terms { _ = try ServedTexts.terms(at: terms) }
      } catch { throw ValidationError(error.description) }
    }

    func run() async throws {
      var options = StandaloneNode.Options(
        listen: listen.isEmpty ? DaemonSettings.defaultListen : listen, data: dataDirectory,
        tenants: try tenancy())
      options.limits.quota = TenantQuota(messages: quotaMessages, bytes: quotaMegabytes << 20)
      options.limits.bounds = NodeBounds(
        total: totalMegabytes.map { $0 << 20 }, tenants: mostTenants, freeDisk: freeMegabytes << 20)
      options.limits.largestData = largestMegabytes << 20
      options.limits.largestStaging = max(options.limits.largestStaging, options.limits.largestData * 2)
      options.limits.isStrict = strict
      options.givesUpData = withoutLostData
      options.webSockets = webSockets
      options.largestFrame = frameKilobytes << 10
      options.publicURL = publicURL
      if let tlsCertificate, let tlsKey { options.tls = (tlsCertificate, tlsKey) }
      options.requiresTLS = tlsOnly
      options.trustedProxies = trustedProxies
      options.logsAccess = accessLog
      options.offersMetrics = metrics
      options.dids = dids.settings
      let named = "\(tenants.count) tenant\(tenants.count == 1 ? "" : "s")"
      let served = open ? "any tenant" : register ? "\(named) and whoever registers" : named
      try await StandaloneNode.run(options, logger: .meshd(verbose: verbose)) { bound in
        if json.isOn {
          return Terminal.print(
            json: [
              "listen": .array(bound.map { .string("\($0)") }), "data": .string(dataDirectory),
              "open": .bool(open), "register": .bool(register), "tenants": .array(tenants.map { .string($0.text) }),
            ])
        }
        print("Serving \(served) on \(bound.map(\.description).joined(separator: ", "))")
      }
    }

    private func tenancy() throws -> Tenancy {
      if open { return .open }
      guard register else { return .listed(Set(tenants)) }
      let text = try terms.map { try ServedTexts.terms(at: $0) }
      return .registered(RegistrationRequirements(terms: text, work: work), named: Set(tenants))
    }
  }
}
