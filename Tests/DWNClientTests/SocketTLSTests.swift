import DWN
import NIOSSL
import TestSupport
import Testing
import Wire

@testable import DWNClient

@Suite("The WebSocket of a node that is named by https", .timeLimit(.minutes(10)))
struct SocketTLSTests {
  private func dialer(_ host: String, _ node: ScriptedSocketNode, trusting chain: [NIOSSLCertificate]) throws
    -> SocketDialer
  {
    var limits = HTTPEndpoint.Limits()
    limits.connectTimeout = .seconds(60)
    return SocketDialer(
      url: try EndpointURL("https://\(host):\(node.port)"), limits: limits, random: SystemRandom(),
      tls: .trusting(chain))
  }

  @Test(
    "is spoken to over TLS, if a certificate that is believed names the host, which may be an address",
    arguments: ["localhost", "127.0.0.1"])
  func believed(host: String) async throws {
    let certificate = try await SelfSignedCertificate(host)
    let node = try await ScriptedSocketNode.start(tls: NIOSSLContext(certificate))
    let chain = try NIOSSLCertificate.fromPEMFile(certificate.certificatePath)
    let connection = try await dialer(host, node, trusting: chain).connect()
    // The node learns of it a moment after the client does.
    for _ in 0..<3000 where node.peers.isEmpty { try await Task.sleep(for: .milliseconds(10)) }
    #expect(node.peers.count == 1)
    connection.disconnect()
    try await node.stop()
  }

  @Test("is not spoken to, if nobody vouches for its certificate, or if that is for another host")
  func refused() async throws {
    let certificate = try await SelfSignedCertificate("other.example")
    let node = try await ScriptedSocketNode.start(tls: NIOSSLContext(certificate))
    let chain = try NIOSSLCertificate.fromPEMFile(certificate.certificatePath)
    for (host, trusted) in [("127.0.0.1", []), ("localhost", chain)] {
      let dialer = try dialer(host, node, trusting: trusted)
      do throws(SocketDialer.Failure) {
        try await dialer.connect().disconnect()
        Issue.record("\(host) was believed")
      } catch {
        guard case .endpoint(.unreachable(_, let reason)) = error else {
          Issue.record("\(error)")
          continue
        }
        #expect(reason.hasPrefix("TLS: "), "\(reason)")
      }
    }
    #expect(node.peers.isEmpty)
    try await node.stop()
  }

  @Test("is not spoken to under a name, if its certificate is for the address that the name leads to")
  func addressCertificate() async throws {
    let certificate = try await SelfSignedCertificate("127.0.0.1")
    let node = try await ScriptedSocketNode.start(tls: NIOSSLContext(certificate))
    let chain = try NIOSSLCertificate.fromPEMFile(certificate.certificatePath)
    let dialer = try dialer("localhost", node, trusting: chain)
    do throws(SocketDialer.Failure) {
      try await dialer.connect().disconnect()
      Issue.record("it was believed")
    } catch {
      guard case .endpoint(.unreachable(_, let reason)) = error else {
        Issue.record("\(error)")
        return
      }
      #expect(reason == "TLS: its certificate is not for localhost")
    }
    #expect(node.peers.isEmpty)
    try await node.stop()
  }
}

/// The same certificates, and requests over HTTP.
@Suite("A node that is named by https", .timeLimit(.minutes(10)))
struct EndpointTLSTests {
  private func answer(of host: DocumentHost, as name: String, _ chain: [NIOSSLCertificate]) async throws
    -> Result<NodeInformation, EndpointError>
  {
    let endpoint = HTTPEndpoint(
      try EndpointURL("https://\(name):\(host.port)"), limits: HTTPEndpoint.Limits(), random: SystemRandom(),
      tls: .trusting(chain))
    let answer: Result<NodeInformation, EndpointError>
    do throws(EndpointError) { answer = .success(try await endpoint.information()) } catch { answer = .failure(error) }
    await endpoint.shutdown()
    return answer
  }

  @Test(
    "is asked if a certificate that is believed names the host, which may be an address; one for the address is none for a name",
    arguments: [
      ("localhost", "localhost", true), ("127.0.0.1", "127.0.0.1", true), ("127.0.0.1", "localhost", false),
      ("other.example", "localhost", false),
    ])
  func names(certified: String, called: String, isBelieved: Bool) async throws {
    let certificate = try await SelfSignedCertificate(certified)
    let chain = try NIOSSLCertificate.fromPEMFile(certificate.certificatePath)
    let host = try await DocumentHost.start(tls: NIOSSLContext(certificate))
    host["/info"] = .document(Array(#"{"maxFileSize":7}"#.utf8))
    let answer = try await answer(of: host, as: called, chain)
    if isBelieved {
      #expect(try answer.get().largestData == 7)
    } else {
      guard case .failure(.unreachable(_, let reason)) = answer else {
        Issue.record("\(answer)")
        return try await host.stop()
      }
      if certified == "127.0.0.1" { #expect(reason == "TLS: its certificate is not for localhost") }
      #expect(host.paths.isEmpty, "nothing was asked")
    }
    try await host.stop()
  }
}

extension TLSConfiguration {
  /// A client's that believes these alone; without any, whom the system believes.
  static func trusting(_ chain: [NIOSSLCertificate]) -> TLSConfiguration {
    var configuration = makeClientConfiguration()
    if !chain.isEmpty { configuration.trustRoots = .certificates(chain) }
    return configuration
  }
}
