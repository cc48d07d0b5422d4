import NIOCore
import NIOSSL

/// Lets nothing out to a host before its certificate has proved to bear the name that the host is called by.
///
/// The TLS library checks who vouches for a certificate. It also takes one for the address that was connected with, whatever the host
/// is called: whoever answers a look-up of the name falsely would need no more than one for an address of their own.
final class CertificateNameHandler: ChannelDuplexHandler {
  typealias InboundIn = Any
  typealias OutboundIn = Any

  /// Why a host that is called by this name is not spoken with.
  struct Mismatch: Error, Hashable, CustomStringConvertible {
    let host: String

    var description: String { "TLS: its certificate is not for \(host)" }
  }

  private enum State {
    /// Nobody has shown a certificate yet. What is to be sent waits.
    case waiting([(NIOAny, EventLoopPromise<Void>?)])
    case named
    /// Who wants to send something is told so, once.
    case misnamed
    case refused
  }

  private let host: String
  private var state = State.waiting([])

  private init(_ host: String) {
    self.host = host
  }

  /// Guards a connection that has the TLS handler already. On its event loop. Nothing is to be guarded where a host is called by its
  /// address: that the TLS library compares.
  static func add(for host: String, to pipeline: ChannelPipeline.SynchronousOperations) throws {
    let tls = try pipeline.handler(type: NIOSSLClientHandler.self)
    try pipeline.addHandler(CertificateNameHandler(host), position: .after(tls))
  }

  func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
    decide(context)
    switch state {
    case .waiting(let held): state = .waiting(held + [(data, promise)])
    case .named: context.write(data, promise: promise)
    case .misnamed, .refused: refuse([promise], context)
    }
  }

  /// After the handshake the TLS library says that it is over.
  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    let before = state
    decide(context)
    context.fireUserInboundEventTriggered(event)
    guard case .waiting(let held) = before, !held.isEmpty else { return }
    switch state {
    case .waiting, .refused: break
    case .named:
      for (data, promise) in held { context.write(data, promise: promise) }
      context.flush()
    case .misnamed: refuse(held.map(\.1), context)
    }
  }

  func handlerRemoved(context: ChannelHandlerContext) {
    guard case .waiting(let held) = state else { return }
    for (_, promise) in held { promise?.fail(ChannelError.eof) }
  }

  private func decide(_ context: ChannelHandlerContext) {
    guard case .waiting = state, let certificate = try? context.pipeline.syncOperations.nioSSL_peerCertificate() else {
      return
    }
    state = certificate.names(host) ? .named : .misnamed
  }

  private func refuse(_ promises: [EventLoopPromise<Void>?], _ context: ChannelHandlerContext) {
    let mismatch = Mismatch(host: host)
    for promise in promises { promise?.fail(mismatch) }
    guard case .misnamed = state else { return }
    state = .refused
    // Not while somebody is in the middle of sending.
    context.eventLoop.assumeIsolated().execute {
      context.fireErrorCaught(mismatch)
      context.close(promise: nil)
    }
  }
}

extension NIOSSLCertificate {
  /// Whether it is for a host of this name, itself or by a wildcard in place of its first label (RFC 6125 6.4.3).
  func names(_ host: String) -> Bool {
    var host = host.lowercased()
    if host.hasSuffix(".") { host.removeLast() }
    let parent = host.firstIndex(of: ".").map { host[$0...] }
    return _subjectAlternativeNames().contains { name in
      guard name.nameType == .dnsName else { return false }
      let pattern = String(decoding: name.contents, as: UTF8.self).lowercased()
      return pattern == host || pattern.hasPrefix("*.") && pattern.dropFirst() == parent
    }
  }
}
