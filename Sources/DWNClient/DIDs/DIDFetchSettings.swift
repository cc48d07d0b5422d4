/// How DIDs are resolved that do not carry their keys.
public struct DIDFetchSettings: Hashable, Sendable {
  /// Where `did:dht` packets are asked for; without one, DIDs of that method are not resolved.
  public var gateway: EndpointURL?
  /// Whether hosts may be at addresses of this machine or a private network, and `localhost` or an address be asked without TLS.
  public var allowsPrivateHosts: Bool
  /// For one document: looking up its host, redirects and all.
  public var timeout: Duration = .seconds(5)
  /// How long a document is believed before it is asked for again.
  public var lifetime: Duration = .seconds(300)
  /// How long after that it still serves while it is fetched anew.
  public var staleLifetime: Duration = .seconds(300)
  /// How long a DID that gave no document is not asked for again.
  public var failureLifetime: Duration = .seconds(30)
  /// Documents that are fetched side by side, a quarter of them from one site at most, half of them for one who asks; more wait.
  public var concurrency = 16
  /// Documents that wait to be fetched, with the same shares; more are refused.
  public var waiting = 256

  public init(gateway: EndpointURL? = nil, allowsPrivateHosts: Bool = false) {
    self.gateway = gateway
    self.allowsPrivateHosts = allowsPrivateHosts
  }

  /// Why the gateway cannot be asked; `nil` if nothing speaks against it, or there is none.
  public var gatewayFault: String? {
    guard let gateway else { return nil }
    do throws(FetchFailure) {
      _ = try FetchTarget(gateway.text, allowsPrivateHosts: allowsPrivateHosts)
      return nil
    } catch {
      return "\(gateway) cannot be asked for did:dht packets: \(error.reason)"
    }
  }
}
