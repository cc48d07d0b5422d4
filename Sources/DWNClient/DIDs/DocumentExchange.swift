import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import Wire

/// One request for a document and its answer, over one connection to an address that was chosen before: nothing here looks up a
/// name, so that the address that was checked is the one that is asked.
struct DocumentExchange {
  struct Answer: Hashable, Sendable {
    var status: Int
    var location: String?
    var contentType: String?
    var body: [UInt8] = []
  }

  let target: FetchTarget
  let address: IPAddress
  let accept: String
  /// Largest body that is taken in, in bytes.
  let largest: Int
  let tls: NIOSSLContext
  let deadline: NIODeadline

  private static let distrust = FetchFailure("its TLS cannot be trusted")

  /// How long one address may take to be connected with, since there may be another.
  static let connectTimeout: TimeAmount = .seconds(2)

  /// Why there is no answer. With `.connect`, another address may have one.
  enum Failed: Error {
    case connect(FetchFailure)
    case answer(FetchFailure)
  }

  func answer() async throws(Failed) -> Answer {
    let loop = MultiThreadedEventLoopGroup.singleton.next()
    let promise = loop.makePromise(of: Answer.self)
    let channel: any Channel
    do {
      channel = try await connection(loop, promise)
    } catch {
      promise.fail(error)
      throw .connect(FetchFailure("no connection to \(address)"))
    }
    let timer = loop.scheduleTask(deadline: deadline) {
      promise.fail(FetchFailure("it did not answer in time"))
      channel.close(promise: nil)
    }
    defer {
      timer.cancel()
      channel.close(promise: nil)
    }
    channel.write(HTTPClientRequestPart.head(head), promise: nil)
    channel.writeAndFlush(HTTPClientRequestPart.end(nil), promise: nil)
    do {
      return try await promise.futureResult.get()
    } catch let failure as FetchFailure {
      throw .answer(failure)
    } catch is NIOSSLError, is NIOSSLExtraError, is CertificateNameHandler.Mismatch {
      throw .answer(Self.distrust)
    } catch {
      throw .answer(FetchFailure("it broke the connection"))
    }
  }

  private var head: HTTPRequestHead {
    HTTPRequestHead(
      version: .http1_1, method: .GET, uri: target.path,
      headers: [
        "host": target.authority, "accept": accept, "accept-encoding": "identity", "user-agent": "meshd",
        "connection": "close",
      ])
  }

  private func connection(_ loop: any EventLoop, _ promise: EventLoopPromise<Answer>) async throws -> any Channel {
    let destination = try NIOCore.SocketAddress(ipAddress: address.description, port: Int(target.port))
    let serverName = IPAddress(target.host) == nil ? target.host : nil
    return try await ClientBootstrap(group: loop)
      .connectTimeout(min(Self.connectTimeout, max(.milliseconds(1), deadline - .now())))
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          let pipeline = channel.pipeline.syncOperations
          if target.isTLS {
            try pipeline.addHandler(NIOSSLClientHandler(context: tls, serverHostname: serverName))
            if let serverName { try CertificateNameHandler.add(for: serverName, to: pipeline) }
          }
          try pipeline.addHTTPClientHandlers()
          try pipeline.addHandler(Collector(largest: largest, promise: promise))
        }
      }
      .connect(to: destination).get()
  }

  /// Takes in one answer, no more of it than is wanted.
  private final class Collector: ChannelInboundHandler {
    typealias InboundIn = HTTPClientResponsePart

    private let largest: Int
    private let promise: EventLoopPromise<Answer>
    private var answer = Answer(status: 0)

    init(largest: Int, promise: EventLoopPromise<Answer>) {
      self.largest = largest
      self.promise = promise
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      switch unwrapInboundIn(data) {
      case .head(let head):
        answer.status = Int(head.status.code)
        answer.location = head.headers.first(name: "location")
        answer.contentType = head.headers.first(name: "content-type")
        if head.status != .ok {
          promise.succeed(answer)
        } else if head.headers.first(name: "content-encoding").map({ $0.lowercased() != "identity" }) == true {
          promise.fail(FetchFailure("it compresses what nobody asked it to"))
        }
      case .body(let bytes):
        guard answer.body.count + bytes.readableBytes <= largest else {
          promise.fail(FetchFailure("its answer is larger than \(largest) bytes"))
          return context.close(promise: nil)
        }
        answer.body += bytes.readableBytesView
      case .end: promise.succeed(answer)
      }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
      promise.fail(error)
      context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
      promise.fail(FetchFailure("it closed the connection"))
      context.fireChannelInactive()
    }
  }
}
