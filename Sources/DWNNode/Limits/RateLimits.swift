import Identity
import Synchronization
import Wire

/// How many requests a server takes. `nil` is no limit.
public struct RateConfiguration: Hashable, Sendable {
  /// From one IPv4 address or one IPv6 /64.
  public var perAddress: RateLimit?
  /// To one tenant, from everybody together.
  public var perTenant: RateLimit?
  /// What each address has to a tenant before it draws from `perTenant`, so that nobody can use up what others need.
  public var share: RateLimit
  /// What comes over the WebSockets of one IPv4 address or one IPv6 /64, in bytes.
  public var webSocketBytes: RateLimit? = RateLimit(perSecond: 1_000_000, burst: 16_000_000)
  /// Programs on this machine are not counted.
  public var exemptsLoopback: Bool

  public init(
    perAddress: RateLimit? = RateLimit(perSecond: 30, burst: 400),
    perTenant: RateLimit? = RateLimit(perSecond: 200, burst: 1000),
    share: RateLimit = RateLimit(perSecond: 5, burst: 50), exemptsLoopback: Bool = true
  ) {
    self.perAddress = perAddress
    self.perTenant = perTenant
    self.share = share
    self.exemptsLoopback = exemptsLoopback
  }
}

/// Who may send how much now.
final class RateLimits: Sendable {
  private struct Visit: Hashable, Sendable {
    let tenant: DID
    let network: UInt128?
  }

  private struct State {
    var addresses: TokenBuckets<UInt128>?
    var tenants: TokenBuckets<DID>?
    var shares: TokenBuckets<Visit>
    var bytes: TokenBuckets<UInt128>?
  }

  private let state: Mutex<State>
  private let exemptsLoopback: Bool

  init(_ configuration: RateConfiguration) {
    exemptsLoopback = configuration.exemptsLoopback
    state = Mutex(
      State(
        addresses: configuration.perAddress.map { TokenBuckets(limit: $0) },
        tenants: configuration.perTenant.map { TokenBuckets(limit: $0) },
        shares: TokenBuckets(limit: configuration.share),
        bytes: configuration.webSocketBytes.map { TokenBuckets(limit: $0) }))
  }

  /// How long an address has to wait, or `nil`.
  func wait(for caller: Caller, now: Instant) -> Duration? {
    if caller.network == nil, exemptsLoopback { return nil }
    return state.withLock { $0.addresses?.take(caller.network ?? 0, now: now) }
  }

  /// Whether so many bytes may come over WebSockets.
  func admits(_ bytes: Int, of caller: Caller, now: Instant) -> Bool {
    if caller.network == nil, exemptsLoopback { return true }
    return state.withLock { $0.bytes?.take(caller.network ?? 0, bytes, now: now) } == nil
  }

  /// How long messages of an address to a tenant have to wait, or `nil`.
  func wait(for tenant: DID, from caller: Caller, now: Instant) -> Duration? {
    if caller.network == nil, exemptsLoopback { return nil }
    return state.withLock { state in
      guard state.tenants != nil, state.shares.take(Visit(tenant: tenant, network: caller.network), now: now) != nil
      else { return nil }
      return state.tenants?.take(tenant, now: now)
    }
  }
}

extension Duration {
  /// As `Retry-After` and `retryAfterSec` have it: whole seconds, at least one.
  var retrySeconds: Int { max(1, Int(seconds.rounded(.up))) }
}
