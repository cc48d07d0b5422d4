import AsyncHTTPClient
public import DWN
public import Identity
import NIOCore
import NIOHTTP1
import NIOSSL
import Synchronization
public import Wire

/// A node that is reached over HTTP: each message is one request with the message in the header `dwn-request` and its data as
/// the body, or with both in the body where the message is long and the node says that it takes that. Subscriptions go over one
/// WebSocket beside it.
///
/// A request that found a dead connection, or a node that is busy for a moment, is sent again with the same bytes (`Resending` says
/// when). What comes back is bounded, and read as what a stranger says.
public final class HTTPEndpoint: DWNEndpoint {
  /// What may be waited for and taken in.
  public struct Limits: Sendable {
    /// From the request to the end of the reply, with all that is sent again.
    public var timeout: Duration
    public var connectTimeout: Duration
    /// Largest body of a reply, in bytes.
    public var largestReply: Int
    /// How often a node with subscriptions is asked whether it is there. One from which nothing came until the next time is
    /// given up.
    public var heartbeat: Duration

    public init(
      timeout: Duration = .seconds(30), connectTimeout: Duration = .seconds(10), largestReply: Int = 32 << 20,
      heartbeat: Duration = .seconds(30)
    ) {
      self.timeout = timeout
      self.connectTimeout = connectTimeout
      self.largestReply = largestReply
      self.heartbeat = heartbeat
    }
  }

  public let url: EndpointURL
  private let connections: ConnectionPool
  private let socket: SharedSocket
  private let limits: Limits
  private let takesBodies = Mutex<Bool?>(nil)
  let random: any RandomSource

  public var name: String { url.text }

  /// Whose certificates are believed is the system's to say.
  public convenience init(_ url: EndpointURL, limits: Limits = Limits(), random: any RandomSource = SystemRandom()) {
    self.init(url, limits: limits, random: random, tls: .makeClientConfiguration())
  }

  init(_ url: EndpointURL, limits: Limits, random: any RandomSource, tls: TLSConfiguration) {
    self.url = url
    self.limits = limits
    self.random = random
    self.connections = ConnectionPool(url, tls: tls, connectTimeout: limits.connectTimeout)
    self.socket = SharedSocket(SocketDialer(url: url, limits: limits, random: random, tls: tls))
  }

  /// Closes the connections. What is still under way fails.
  public func shutdown() async {
    socket.shutdown()
    await connections.shutdown()
  }

  public func hostAddressesChanged() {
    connections.drop()
    socket.drop()
  }

  public func process(tenant: DID, message: JSONValue, data: [UInt8]?) async throws(EndpointError) -> Reply {
    let call = JSONRPCCall(id: Hex.encode(random.bytes(8)), tenant: tenant, message: message)
    var request = HTTPClientRequest(url: url.text + "/")
    request.method = .POST
    request.headers.add(name: "accept", value: "application/json, application/octet-stream")
    let header = call.json.asciiText
    if header.utf8.count > Self.longHeader, await takesWholeBodies() {
      let body = call.wholeBody(with: data)
      request.headers.add(name: "content-type", value: JSONRPCCall.wholeBodyType)
      request.body = .bytes(body, length: .known(Int64(body.count)))
    } else {
      request.headers.add(name: "content-type", value: "application/octet-stream")
      request.headers.add(name: "dwn-request", value: header)
      if let data, !data.isEmpty { request.body = .bytes(data, length: .known(Int64(data.count))) }
    }
    return try await answered(request) { answer throws(EndpointError) in
      try answer.reply(to: call, from: name, now: WallTime.now())
    }
  }

  /// Subscriptions share one WebSocket. A node that does not speak it gives the reply 501.
  public func subscribe(
    tenant: DID, message: JSONValue
  ) async throws(EndpointError) -> (reply: Reply, frames: (any SubscriptionSource)?) {
    try await socket.subscribe(tenant: tenant, message: message)
  }

  /// Servers stop reading headers somewhere after this many bytes.
  private static let longHeader = 12 << 10

  /// What the node said of itself, asked once. A node that says nothing takes headers.
  private func takesWholeBodies() async -> Bool {
    if let known = takesBodies.withLock({ $0 }) { return known }
    guard let information = try? await information() else { return false }
    takesBodies.withLock { $0 = information.takesWholeBodies }
    return information.takesWholeBodies
  }

  /// What the node says of itself.
  public func information() async throws(EndpointError) -> NodeInformation {
    var request = HTTPClientRequest(url: url.text + "/info")
    request.headers.add(name: "accept", value: "application/json")
    return try await answered(request) { answer throws(EndpointError) in
      guard answer.status != 429 else { throw answer.rateLimit(from: name, now: WallTime.now()) }
      guard answer.status == 200, answer.body.count <= NodeInformation.limit,
        let json = try? JSONValue(parsing: answer.body, depth: JSONRPCAnswer.depth),
        let information = NodeInformation(json)
      else { throw .notADWN(name: name, reason: "it says nothing of itself at /info (HTTP status \(answer.status))") }
      return information
    }
  }

  // MARK: - Requests

  /// Sends a request, again where that helps, and reads the answer.
  func answered<Value: Sendable>(
    _ request: HTTPClientRequest, _ read: (JSONRPCAnswer) throws(EndpointError) -> Value
  ) async throws(EndpointError) -> Value {
    let start = Instant.now()
    var resending = Resending(timeout: limits.timeout)
    while true {
      let failure: Failed
      do throws(Failed) {
        return try await attempt(request, within: limits.timeout - (Instant.now() - start), read)
      } catch {
        failure = error
      }
      let jitter = Double(random.uint32()) / Double(UInt32.max)
      guard
        let pause = resending.pause(after: failure.kind, elapsed: Instant.now() - start, jitter: jitter),
        !Task.isCancelled
      else { throw failure.error }
      if pause > .zero {
        do { try await Task.sleep(for: pause) } catch { throw failure.error }
      }
    }
  }

  private struct Failed: Error {
    let error: EndpointError
    let kind: Resending.Failure
  }

  private func attempt<Value: Sendable>(
    _ request: HTTPClientRequest, within timeout: Duration, _ read: (JSONRPCAnswer) throws(EndpointError) -> Value
  ) async throws(Failed) -> Value {
    let (client, generation) = connections.current
    let answer: JSONRPCAnswer
    do {
      let response = try await client.execute(request, timeout: .nanoseconds(timeout.nanoseconds))
      let body = try await response.body.collect(upTo: limits.largestReply)
      answer = JSONRPCAnswer(
        status: Int(response.status.code), reply: response.headers["dwn-response"],
        retryAfter: response.headers.first(name: "retry-after"), body: Array(body.readableBytesView))
    } catch {
      let kind =
        connections.isCurrent(generation) ? TransportFailure.kind(of: error) : Resending.Failure.connectionsDropped
      throw Failed(error: TransportFailure.describe(error, name: name, limits: limits), kind: kind)
    }
    do throws(EndpointError) {
      return try read(answer)
    } catch {
      switch error {
      case .rateLimited(_, let after): throw Failed(error: error, kind: .rateLimited(after))
      case .unreachable: throw Failed(error: error, kind: .gateway)
      default: throw Failed(error: error, kind: .other)
      }
    }
  }
}
