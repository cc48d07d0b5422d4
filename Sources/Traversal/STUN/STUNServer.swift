public import Wire

/// Answers binding requests of anybody (RFC 5389), within bounds: what a relay's UDP port does. Without I/O.
///
/// Whatever is not a well-formed request gets no answer, and no answer is much larger than its request, so that a forged source
/// gains nothing from asking here.
public struct STUNServer: Sendable {
  /// Largest request that is read, in bytes.
  public static let largestRequest = 548
  /// Answers a second to one IPv4 address or one IPv6 /64, and how many in a row.
  public static let ratePerNetwork = 10
  /// The same for everybody together. Bounds what is remembered, too.
  public static let rate = 5000
  /// After so long without an answer all of them can be had again.
  private static let memory: Duration = .seconds(1)

  private var everybody: TokenBucket?
  /// Who got an answer since a time, and who did in the time before that: whoever is in neither has all answers before it.
  private var recent: [IPPrefix: TokenBucket] = [:]
  private var older: [IPPrefix: TokenBucket] = [:]
  private var recentSince: Instant?

  public init() {}

  /// The answer to a datagram; `nil`: none is due.
  public mutating func answer(_ datagram: [UInt8], from source: SocketAddress, at now: Instant) -> [UInt8]? {
    guard datagram.count <= Self.largestRequest, STUNMessage.fills(datagram),
      let message = try? STUNMessage(parsing: datagram), message.type == STUNMessage.bindingRequest,
      let fingerprint = try? STUNMessage.hasValidFingerprint(message, in: datagram) ?? true, fingerprint,
      admits(source.ip.unmapped, at: now)
    else { return nil }
    let unknown = message.attributes.map(\.type).filter { $0 < STUNMessage.AttributeType.firstOptional }
    guard unknown.isEmpty else { return Self.refusal(message.transactionID, unknown) }
    return STUNResponse.bytes(message.transactionID, to: source)
  }

  private mutating func admits(_ address: IPAddress, at now: Instant) -> Bool {
    guard let network = IPPrefix(address, length: address.family == .v4 ? 32 : 64) else { return false }
    forget(at: now)
    var own = recent[network] ?? older[network] ?? Self.bucket(Self.ratePerNetwork, now)
    var all = everybody ?? Self.bucket(Self.rate, now)
    guard own.take(at: now), all.take(at: now) else { return false }
    recent[network] = own
    everybody = all
    return true
  }

  private static func bucket(_ rate: Int, _ now: Instant) -> TokenBucket {
    TokenBucket(capacity: rate, interval: .nanoseconds(1_000_000_000 / Int64(rate)), now: now)
  }

  private mutating func forget(at now: Instant) {
    guard let since = recentSince, now - since < Self.memory else {
      older = recent
      recent = [:]
      recentSince = now
      return
    }
  }

  /// Error 420: it was asked for something that must be understood and is not (§7.3.1). The first four are named.
  private static func refusal(_ id: TransactionID, _ unknown: [UInt16]) -> [UInt8] {
    var names = ByteWriter()
    for type in unknown.prefix(4) { names.bigEndian(type) }
    return STUNMessage.bytes(
      STUNMessage.bindingError, id,
      [
        (STUNMessage.AttributeType.errorCode, [0, 0, 4, 20]),
        (STUNMessage.AttributeType.unknownAttributes, names.bytes),
      ])
  }
}
