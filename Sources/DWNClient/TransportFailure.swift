import AsyncHTTPClient
import DWN
import NIOCore
import NIOPosix
import Wire

#if canImport(Glibc)
  import Glibc
#endif

/// What the HTTP library says when there is no answer, in words for people.
enum TransportFailure {
  static func describe(_ error: any Error, name: String, limits: HTTPEndpoint.Limits) -> EndpointError {
    if error is NIOTooManyBytesError {
      return .notADWN(name: name, reason: "its answer is larger than \(limits.largestReply) bytes")
    }
    switch error {
    case is TimeBound.Exceeded: return .timedOut(name: name)
    case is CancellationError: return .unreachable(name: name, reason: "the request was cancelled")
    case let error as HTTPClientError: return describe(error, name: name)
    case let error as IOError: return .unreachable(name: name, reason: reason(error))
    case let error as NIOConnectionError: return .unreachable(name: name, reason: reason(error))
    case let error as ChannelError:
      if case .connectTimeout = error { return .timedOut(name: name) }
      return .unreachable(name: name, reason: "the connection was closed")
    default: return .unreachable(name: name, reason: String("\(error)".prefix(200)))
    }
  }

  /// Whether the connection stood and was lost.
  static func kind(of error: any Error) -> Resending.Failure {
    switch error {
    case let error as HTTPClientError: error == .remoteConnectionClosed ? .connectionLost : .other
    case let error as IOError: [EPIPE, ECONNRESET].contains(error.errnoCode) ? .connectionLost : .other
    case let error as ChannelError:
      switch error {
      case .ioOnClosedChannel, .alreadyClosed, .eof, .inputClosed, .outputClosed: .connectionLost
      default: .other
      }
    default: .other
    }
  }

  private static func describe(_ error: HTTPClientError, name: String) -> EndpointError {
    switch error {
    case .deadlineExceeded, .connectTimeout, .readTimeout, .writeTimeout, .getConnectionFromPoolTimeout:
      .timedOut(name: name)
    case .alreadyShutdown, .cancelled: .unreachable(name: name, reason: "the client was shut down")
    case .remoteConnectionClosed: .unreachable(name: name, reason: "it closed the connection")
    default: .unreachable(name: name, reason: error.shortDescription)
    }
  }

  private static func reason(_ error: NIOConnectionError) -> String {
    if let last = error.connectionErrors.last {
      return (last.error as? IOError).map(reason) ?? String("\(last.error)".prefix(200))
    }
    if error.dnsAError != nil || error.dnsAAAAError != nil { return "its name \(error.host) is not known" }
    return "no connection to \(error.host):\(error.port)"
  }

  private static func reason(_ error: IOError) -> String {
    SystemErrorText.of(error.errnoCode)
  }
}
