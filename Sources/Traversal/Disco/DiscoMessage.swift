public import Cryptography
public import Wire

/// A message of path discovery between two machines, as it is inside its seal (`traversal.md`, 2.2).
public enum DiscoMessage: Hashable, Sendable {
  /// "Do you hear me at this address?" The node key says which of the peers with this disco key asks; padding makes the datagram as
  /// long as the packets that the path shall carry.
  case ping(TransactionID, nodeKey: X25519PublicKey?, padding: Int)
  /// The answer, with the address that the ping came from.
  case pong(TransactionID, source: SocketAddress)
  /// "I have just pinged you: ping me at these addresses." Comes over a relay only.
  case callMeMaybe([SocketAddress])
  /// Something of a later version, or of a relay over UDP, which this one does not speak.
  case unknown(type: UInt8)

  private enum Kind {
    static let ping: UInt8 = 1
    static let pong: UInt8 = 2
    static let callMeMaybe: UInt8 = 3
  }

  private static let endpointLength = 18
  /// A datagram has room for more, but no machine has so many addresses that are worth a try.
  static let maximumEndpoints = 256

  /// The bytes of a ping before its padding: type, version, transaction, node key.
  static let pingLength = 2 + TransactionID.length + 32

  /// What is malformed is `nil`; what is longer than its type is read as far as it is known.
  public init?(_ bytes: [UInt8]) {
    var reader = ByteReader(bytes)
    guard let message = try? DiscoMessage(&reader) else { return nil }
    self = message
  }

  private init(_ reader: inout ByteReader) throws {
    let type = try reader.uint8()
    let version = try reader.uint8()
    switch type {
    case Kind.ping:
      let transaction = try reader.transaction()
      guard reader.remaining >= 32 else {
        self = .ping(transaction, nodeKey: nil, padding: reader.remaining)
        return
      }
      self = .ping(transaction, nodeKey: X25519PublicKey(try reader.bytes(32)), padding: reader.remaining)
    case Kind.pong:
      let transaction = try reader.transaction()
      self = .pong(transaction, source: try reader.endpoint())
    case Kind.callMeMaybe:
      guard version == 0, reader.remaining % DiscoMessage.endpointLength == 0 else {
        self = .callMeMaybe([])
        return
      }
      let count = min(reader.remaining / DiscoMessage.endpointLength, DiscoMessage.maximumEndpoints)
      self = .callMeMaybe(try (0..<count).map { _ in try reader.endpoint() })
    default:
      self = .unknown(type: type)
    }
  }

  /// Empty for `unknown`, which is only ever received.
  public var bytes: [UInt8] {
    var writer = ByteWriter()
    switch self {
    case .ping(let transaction, let nodeKey, let padding):
      writer.append([Kind.ping, 0])
      writer.append(transaction.bytes)
      if let nodeKey { writer.append(nodeKey.bytes.array) }
      writer.append(repeatElement(0, count: padding))
    case .pong(let transaction, let source):
      writer.append([Kind.pong, 0])
      writer.append(transaction.bytes)
      writer.append(source)
    case .callMeMaybe(let endpoints):
      writer.append([Kind.callMeMaybe, 0])
      for endpoint in endpoints { writer.append(endpoint) }
    case .unknown: break
    }
    return writer.bytes
  }
}

extension ByteReader {
  fileprivate mutating func transaction() throws(Truncated) -> TransactionID {
    guard let id = TransactionID(try bytes(TransactionID.length)) else { throw Truncated() }
    return id
  }

  /// Sixteen bytes of address, IPv4 as IPv4-mapped, and two of port.
  fileprivate mutating func endpoint() throws(Truncated) -> SocketAddress {
    guard let ip = IPAddress(bytes: try bytes(16)) else { throw Truncated() }
    return SocketAddress(ip.unmapped, port: try bigEndian())
  }
}

extension ByteWriter {
  fileprivate mutating func append(_ endpoint: SocketAddress) {
    if endpoint.ip.family == .v4 {
      append(repeatElement(0, count: 10))
      append([0xff, 0xff])
    }
    append(endpoint.ip.bytes)
    bigEndian(endpoint.port)
  }
}
