import AsyncHTTPClient
public import DWN
public import Identity
import NIOCore
import NIOHTTP1
public import Wire

/// A node that is reached over HTTP: each message is one request with the message in the header `dwn-request` and its data as
/// the body.
///
/// Nothing is sent twice: whoever calls knows whether a message may be repeated. What comes back is bounded, and read as what a
/// stranger says.
public final class HTTPEndpoint: DWNEndpoint {
  /// What may be waited for and taken in.
  public struct Limits: Sendable {
    /// From the request to the end of the reply.
    public var timeout: Duration
    public var connectTimeout: Duration
    /// Largest body of a reply, in bytes.
    public var largestReply: Int

    public init(
      timeout: Duration = .seconds(30), connectTimeout: Duration = .seconds(10), largestReply: Int = 32 << 20
    ) {
      self.timeout = timeout
      self.connectTimeout = connectTimeout
      self.largestReply = largestReply
    }
  }

  public let url: EndpointURL
  private let client: HTTPClient
  private let limits: Limits
  private let random: any RandomSource

  public var name: String { url.text }

  public init(_ url: EndpointURL, limits: Limits = Limits(), random: any RandomSource = SystemRandom()) {
    var configuration = HTTPClient.Configuration(
      redirectConfiguration: .disallow,
      timeout: .init(connect: .nanoseconds(limits.connectTimeout.nanoseconds)), decompression: .disabled)
    configuration.httpVersion = .http1Only
    // Shorter than servers keep an idle connection (ours: 60 s), so that a request does not meet one that is being closed.
    configuration.connectionPool.idleTimeout = .seconds(30)
    configuration.connectionPool.retryConnectionEstablishment = false
    configuration.maximumUsesPerConnection = 10_000
    self.url = url
    self.limits = limits
    self.random = random
    self.client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
  }

  deinit {
    // Does nothing after `shutdown()`; an endpoint that was just dropped closes its connections here.
    client.shutdown { _ in }
  }

  /// Closes the connections. What is still under way fails.
  public func shutdown() async {
    try? await client.shutdown()
  }

  public func process(tenant: DID, message: JSONValue, data: [UInt8]?) async throws(EndpointError) -> Reply {
    let call = JSONRPCCall(id: Hex.encode(random.bytes(8)), tenant: tenant, message: message)
    var request = HTTPClientRequest(url: url.text + "/")
    request.method = .POST
    request.headers.add(name: "content-type", value: "application/octet-stream")
    request.headers.add(name: "accept", value: "application/json, application/octet-stream")
    request.headers.add(name: "dwn-request", value: call.json.asciiText)
    if let data, !data.isEmpty { request.body = .bytes(data, length: .known(Int64(data.count))) }
    return try await exchange(request, call)
  }

  /// No hints come over plain HTTP: the stream stays silent until it is cancelled.
  public func changes(tenant: DID) -> AsyncStream<ChangeHint> {
    AsyncStream { _ in }
  }

  private func exchange(_ request: HTTPClientRequest, _ call: JSONRPCCall) async throws(EndpointError) -> Reply {
    let answer: JSONRPCAnswer
    do {
      let response = try await client.execute(request, timeout: .nanoseconds(limits.timeout.nanoseconds))
      let body = try await response.body.collect(upTo: limits.largestReply)
      answer = JSONRPCAnswer(
        status: Int(response.status.code), reply: response.headers["dwn-response"],
        retryAfter: response.headers.first(name: "retry-after"), body: Array(body.readableBytesView))
    } catch {
      throw TransportFailure.describe(error, name: name, limits: limits)
    }
    return try answer.reply(to: call, from: name, now: WallTime.now())
  }
}
