public import Identity
public import Wire

/// A node that answers messages: over the network (`DWNClient`) or in this process (`DWNNode`). What it answers is checked by
/// whoever asks, wherever it runs.
public protocol DWNEndpoint: Sendable {
  /// For logs and errors: a URL, or words.
  var name: String { get }

  /// Hands a message to the node. Refusals by the node are replies; an error means that there was no answer.
  func process(tenant: DID, message: JSONValue, data: [UInt8]?) async throws(EndpointError) -> Reply

  /// Says, as long as it is iterated, that something of the tenant may have changed. A hint, never content.
  func changes(tenant: DID) -> AsyncStream<ChangeHint>
}

/// Something about a tenant may have changed.
public struct ChangeHint: Hashable, Sendable {
  public var protocolURI: String
  public var path: ProtocolPath?

  public init(protocolURI: String, path: ProtocolPath? = nil) {
    self.protocolURI = protocolURI
    self.path = path
  }
}

/// Why a node gave no reply.
public enum EndpointError: Error, Hashable, Sendable, CustomStringConvertible {
  case unreachable(name: String, reason: String)
  case timedOut(name: String)
  case notADWN(name: String, reason: String)
  case rateLimited(name: String, retryAfter: Duration)
  case refused(name: String, reason: String)

  public var description: String {
    switch self {
    case .unreachable(let name, let reason): "\(name) cannot be reached: \(reason)"
    case .timedOut(let name): "\(name) did not answer in time"
    case .notADWN(let name, let reason): "\(name) does not answer like a DWN: \(reason)"
    case .rateLimited(let name, let after): "\(name) asks to wait \(Int(after.seconds.rounded(.up))) s"
    case .refused(let name, let reason): "\(name) refused the request: \(reason)"
    }
  }
}
