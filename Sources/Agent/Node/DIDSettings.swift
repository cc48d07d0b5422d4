import DWNClient
public import Identity

/// How this machine's node resolves the DIDs of authors whose keys are elsewhere, as a person names it.
public struct DIDSettings: Hashable, Sendable {
  /// URL of the gateway that did:dht packets are asked for; without one such DIDs are not resolved.
  public var gateway: String?
  /// Whether the hosts that DIDs name may be this machine and those of private networks.
  public var allowsPrivateHosts: Bool

  public init(gateway: String? = nil, allowsPrivateHosts: Bool = false) {
    self.gateway = gateway
    self.allowsPrivateHosts = allowsPrivateHosts
  }

  /// Refuses a gateway that cannot be asked. Throws `AgentError.badArgument`.
  public func check() throws(AgentError) { _ = try fetching }

  /// Where the documents of DIDs come from, by these settings. Throws `AgentError.badArgument`, and what the system's TLS throws
  /// when it does not work.
  public func directory() throws -> any DIDDirectory { try NetworkDirectory(fetching) }

  var fetching: DIDFetchSettings {
    get throws(AgentError) {
      var settings = DIDFetchSettings(allowsPrivateHosts: allowsPrivateHosts)
      do { settings.gateway = try gateway.map { text throws(EndpointURL.Invalid) in try EndpointURL(text) } } catch {
        throw .badArgument("--did-dht-gateway \(gateway ?? "") is no URL: a gateway looks like https://gateway.example")
      }
      if let fault = settings.gatewayFault { throw .badArgument(fault) }
      return settings
    }
  }
}
