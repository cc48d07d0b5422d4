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
  let limits: Limits
  private let takesBodies = Mutex<Bool?>(nil)
  let random: any RandomSource
  private let tls: TLSConfiguration

  public var name: String { url.text }

  /// Whose certificates are believed is the system's to say.
  public convenience init(_ url: EndpointURL, limits: Limits = Limits(), random: any RandomSource = SystemRandom()) {
    self.init(url, limits: limits, random: random, tls: .makeClientConfiguration())
  }

  init(_ url: EndpointURL, limits: Limits, random: any RandomSource, tls: TLSConfiguration) {
    self.url = url
    self.limits = limits
    self.random = random
    self.tls = tls
    self.connections = ConnectionPool(url, tls: tls, connectTimeout: limits.connectTimeout)
    self.socket = SharedSocket(SocketDialer(url: url, limits: limits, random: random, tls: tls))
  }

  /// Another host that is spoken with in the same way.
  func sibling(at url: EndpointURL) -> HTTPEndpoint { HTTPEndpoint(url, limits: limits, random: random, tls: tls) }

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
    let call = call(tenant, message)
    return try await answered(await request(for: call, data.map(RequestData.bytes))) { answer throws(EndpointError) in
      try answer.reply(to: call, from: name, now: WallTime.now())
    }
  }

  /// Subscriptions share one WebSocket. A node that does not speak it gives the reply 501.
  public func subscribe(
    tenant: DID, message: JSONValue
  ) async throws(EndpointError) -> (reply: Reply, frames: (any SubscriptionSource)?) {
    try await socket.subscribe(tenant: tenant, message: message)
  }

  func call(_ tenant: DID, _ message: JSONValue) -> JSONRPCCall {
    JSONRPCCall(id: Hex.encode(random.bytes(8)), tenant: tenant, message: message)
  }

  /// The data that goes with a message: what is in memory, or what comes in pieces, so many bytes.
  enum RequestData {
    case bytes([UInt8])
    case pieces(OutgoingPieces)
  }

  func request(for call: JSONRPCCall, _ data: RequestData?) async -> HTTPClientRequest {
    var request = HTTPClientRequest(url: url.text + "/")
    request.method = .POST
    request.headers.add(name: "accept", value: "application/json, application/octet-stream")
    let header = call.json.asciiText
    let isWhole = header.utf8.count > Self.longHeader ? await takesWholeBodies() : false
    if isWhole {
      request.headers.add(name: "content-type", value: JSONRPCCall.wholeBodyType)
    } else {
      request.headers.add(name: "content-type", value: "application/octet-stream")
      request.headers.add(name: "dwn-request", value: header)
    }
    let before = isWhole ? call.bodyBeforeData(hasData: data != nil) : []
    switch data {
    case .pieces(let pieces):
      request.body = .stream(pieces.after(before), length: .known(Int64(before.count + pieces.described.size)))
    case .bytes(let bytes): request.body = Self.body(before + bytes)
    case nil: request.body = Self.body(before)
    }
    return request
  }

  private static func body(_ bytes: [UInt8]) -> HTTPClientRequest.Body? {
    bytes.isEmpty ? nil : .bytes(bytes, length: .known(Int64(bytes.count)))
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

  /// Sends a request, again where that helps, and reads the answer. With all of that it takes the time of `limits`, or `timeout`.
  func answered<Value: Sendable>(
    _ request: HTTPClientRequest, within timeout: Duration? = nil,
    _ read: (JSONRPCAnswer) throws(EndpointError) -> Value
  ) async throws(EndpointError) -> Value {
    try await exchanged(request, within: timeout ?? limits.timeout, collected) { answer throws(EndpointError) in
      try read(answer)
    }
  }

  /// Sends a request, again where that helps. `take` waits for what is wanted of the answer, and is part of the time; `read` makes
  /// sense of it, and what it throws may be a reason to ask again.
  func exchanged<Taken: Sendable, Value: Sendable>(
    _ request: HTTPClientRequest, within timeout: Duration,
    _ take: @escaping @Sendable (HTTPClientResponse) async throws -> Taken,
    _ read: (Taken) throws(EndpointError) -> Value
  ) async throws(EndpointError) -> Value {
    let start = Instant.now()
    var resending = Resending(timeout: timeout)
    while true {
      let failure: Failed
      do throws(Failed) {
        return try await attempt(request, within: timeout - (Instant.now() - start), take, read)
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

  /// The whole of an answer that is no larger than is allowed.
  @Sendable func collected(_ response: HTTPClientResponse) async throws -> JSONRPCAnswer {
    let body = try await response.body.collect(upTo: limits.largestReply)
    return JSONRPCAnswer(
      status: Int(response.status.code), reply: response.headers["dwn-response"],
      retryAfter: response.headers.first(name: "retry-after"), body: Array(body.readableBytesView))
  }

  private struct Failed: Error {
    let error: EndpointError
    let kind: Resending.Failure
  }

  private func attempt<Taken: Sendable, Value: Sendable>(
    _ request: HTTPClientRequest, within timeout: Duration,
    _ take: @escaping @Sendable (HTTPClientResponse) async throws -> Taken,
    _ read: (Taken) throws(EndpointError) -> Value
  ) async throws(Failed) -> Value {
    let (client, generation) = connections.current
    let taken: Taken
    do {
      // The library's own time ends with the head of the answer.
      taken = try await TimeBound.within(timeout) {
        try await take(client.execute(request, timeout: .nanoseconds(timeout.nanoseconds)))
      }
    } catch {
      let kind =
        connections.isCurrent(generation) ? TransportFailure.kind(of: error) : Resending.Failure.connectionsDropped
      throw Failed(error: TransportFailure.describe(error, name: name, limits: limits), kind: kind)
    }
    do throws(EndpointError) {
      return try read(taken)
    } catch {
      switch error {
      case .rateLimited(_, let after): throw Failed(error: error, kind: .rateLimited(after))
      case .unreachable: throw Failed(error: error, kind: .gateway)
      default: throw Failed(error: error, kind: .other)
      }
    }
  }
}
