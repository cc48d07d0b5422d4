import Cryptography
import Glibc
import Testing
import Wire

@testable import Engine
@testable import Traversal

@Suite("what a gateway answers")
struct GatewayLinkTests {
  @Test(
    "an answer is for the link that asked, not for the next one of the same gateway, which counts from one again",
    .enabled(if: OwnNetwork.hasRights, "an engine needs root and /dev/net/tun"), .timeLimit(.minutes(10)))
  func formerLink() async throws {
    let network = await OwnNetwork.descriptor()
    try #require(network >= 0, "the kernel makes no network: error \(-network)")
    defer { close(network) }
    let engine = try await Engine(
      configuration: EngineConfiguration(
        privateKey: X25519PrivateKey(random: SystemRandom()), networkNamespace: "/proc/self/fd/\(network)"))
    let former = try await engine.ask(from: #require(IPAddress("192.168.1.7")))
    let current = try await engine.ask(from: #require(IPAddress("192.168.1.8")))
    await engine.answered(1, [], to: former)
    #expect(await engine.waits, "nobody answered this one")
    await engine.answered(1, [], to: current)
    #expect(await !engine.waits)
    await engine.stop()
  }
}

extension Engine {
  /// A new link with one gateway, from this address, that has asked for a description of its services.
  fileprivate func ask(from host: IPAddress) throws -> GatewayLink.Asker {
    let gateway = try #require(IPAddress("192.168.1.1"))
    let link = try #require(GatewayLink(gateway: gateway, host: host))
    link.mapper.http = (1, .looking, .now() + .seconds(3600))
    gatewayLink = link
    return link.asker
  }

  fileprivate var waits: Bool { gatewayLink?.mapper.http != nil }
}
