import DWN
import NIOSSL
import TestSupport
import Testing
import Wire

@testable import DWNClient

@Suite("The WebSocket of a node that is named by https", .timeLimit(.minutes(2)))
struct SocketTLSTests {
  private func dialer(_ host: String, _ node: ScriptedSocketNode, trusting chain: [NIOSSLCertificate]) throws
    -> SocketDialer
  {
    var limits = HTTPEndpoint.Limits()
    limits.connectTimeout = .seconds(60)
    var dialer = SocketDialer(
      url: try EndpointURL("https://\(host):\(node.port)"), limits: limits, random: SystemRandom())
    if !chain.isEmpty { dialer.tls.trustRoots = .certificates(chain) }
    return dialer
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
}
