import Agent
import ArgumentParser

/// How a node resolves DIDs that do not carry their keys.
struct DIDOptions: ParsableArguments {
  @Option(
    name: .customLong("did-dht-gateway"),
    help: ArgumentHelp(
      "Gateway that did:dht documents are asked for; without one, authors of that method are refused.", valueName: "url"
    ))
  var gateway: String?

  @Flag(
    name: .customLong("allow-private-did-hosts"), inversion: .prefixedNo, exclusivity: .exclusive,
    help: "Fetch DID documents also from this machine and private networks. For tests.")
  var allowsPrivateHosts: Bool?

  var settings: DIDSettings { DIDSettings(gateway: gateway, allowsPrivateHosts: allowsPrivateHosts ?? false) }
}

extension DIDSettings {
  /// Settings that cannot work are wrong usage.
  func checkUsage() throws {
    do { try check() } catch { throw ValidationError(error.description) }
  }
}
