public import Wire

/// Answers binding requests of anybody (RFC 5389), within bounds: what a relay's UDP port does. Without I/O.
///
/// Whatever is not a well-formed request gets no answer, and no answer is much larger than its request, so that a forged source
/// gains nothing from asking here.
public struct STUNServer: Sendable {
  /// Largest request that is read, in bytes.
  public static let largestRequest = 548
  /// Answers in one second to one IPv4 address or one IPv6 /64.
  public static let ratePerNetwork = 10
  /// Answers in one second to everybody. Bounds what is remembered, too.
  public static let rate = 5000

  private var second: UInt64 = 0
  private var answered = 0
  private var networks: [IPPrefix: Int] = [:]

  public init() {}

  /// The answer to a datagram; `nil`: none is due.
  public mutating func answer(_ datagram: [UInt8], from source: SocketAddress, at now: Instant) -> [UInt8]? {
    guard datagram.count <= Self.largestRequest, let message = try? STUNMessage(parsing: datagram),
      message.type == STUNMessage.bindingRequest,
      let fingerprint = try? STUNMessage.hasValidFingerprint(message, in: datagram) ?? true, fingerprint,
      admits(source.ip.unmapped, at: now)
    else { return nil }
    let unknown = message.attributes.map(\.type).filter { $0 < STUNMessage.AttributeType.firstOptional }
    guard unknown.isEmpty else { return Self.refusal(message.transactionID, unknown) }
    return STUNResponse.bytes(message.transactionID, to: source)
  }

  private mutating func admits(_ address: IPAddress, at now: Instant) -> Bool {
    if now.nanoseconds / 1_000_000_000 != second {
      second = now.nanoseconds / 1_000_000_000
      answered = 0
      networks.removeAll(keepingCapacity: true)
    }
    guard answered < Self.rate, let network = IPPrefix(address, length: address.family == .v4 ? 32 : 64),
      networks[network, default: 0] < Self.ratePerNetwork
    else { return false }
    answered += 1
    networks[network, default: 0] += 1
    return true
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
