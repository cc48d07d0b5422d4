import Cryptography
import DERP
import DWNNode
import Engine
import Foundation
import Logging
import Mesh
import NIOCore
import NIOPosix
import NIOSSL
import Netmap
import Synchronization
import TestSupport
import Testing
import Traversal
import Wire

@testable import Agent

/// The anchor's relay as others see it: behind the port of the node, with the client that daemons have.
@Suite("the relay behind the node's port", .timeLimit(.minutes(10)))
struct NodeRelayTests {
  private final class Machine {
    let folder = TemporaryFolder()
    let relay: MeshRelay
    let node: EmbeddedNode

    init() async throws {
      var limits = RelayLimits()
      // A machine that is busy with other tests takes its time.
      limits.handshake = .seconds(60)
      limits.strangersPerNetwork = 16
      let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
      let directory = try StateDirectory(opening: folder.path)
      let relay = try MeshRelay(in: directory, limits: limits, logger: logger)
      node = try await EmbeddedNode.start(
        in: directory, tenants: .open, listen: [SocketAddress("127.0.0.1:0")!], logger: logger
      ) { $0.takeover = relay.takeover }
      relay.answer(beside: node.listeners)
      self.relay = relay
    }

    var record: Relay {
      Relay(
        id: 1, region: "test", host: "127.0.0.1", port: node.listeners[0].port,
        certificateSHA256: relay.certificate, stunPorts: relay.stunPorts)
    }

    func admit(_ keys: [X25519PublicKey]) {
      let netmap = Netmap(
        networkName: "n", node: LocalNode(name: "me", key: keys[0], addresses: [], meshPrefixes: []),
        peers: keys.dropFirst().map { Peer(key: $0, name: "p", addresses: [], allowedIPs: []) })
      relay.admit(RelayMembers(of: netmap, in: .jwe))
    }

    func stop() async {
      await relay.stop()
      await node.stop()
    }
  }

  private func key() -> X25519PrivateKey { X25519PrivateKey(random: SystemRandom()) }

  @Test("members talk through it, strangers do not, and whoever is removed is closed out")
  func members() async throws {
    let machine = try await Machine()
    let (own, friend) = (key(), key())
    let stranger = key()
    await #expect(throws: DERPError.self, "before there is an accepted state") {
      _ = try await RelayLink.connect(to: machine.record, as: friend, onEvent: { _ in })
    }
    machine.admit([own.publicKey, friend.publicKey])
    let (atOwn, atFriend) = (Heard(), Heard())
    let left = try await RelayLink.connect(to: machine.record, as: own, onEvent: atOwn.handler)
    let right = try await RelayLink.connect(to: machine.record, as: friend, onEvent: atFriend.handler)
    left.send(ByteBuffer(string: "hello"), to: friend.publicKey)
    right.send(ByteBuffer(string: "and back"), to: own.publicKey)
    #expect(try await atFriend.wait { $0.contains(.packet(from: own.publicKey, ByteBuffer(string: "hello"))) })
    #expect(try await atOwn.wait { $0.contains(.packet(from: friend.publicKey, ByteBuffer(string: "and back"))) })
    await #expect(throws: DERPError.self) {
      _ = try await RelayLink.connect(to: machine.record, as: stranger, onEvent: { _ in })
    }
    machine.admit([own.publicKey])
    #expect(try await atFriend.wait { if case .closed? = $0.last { true } else { false } })
    #expect(atOwn.all.allSatisfy { if case .closed = $0 { false } else { true } })
    await machine.stop()
    #expect(try await atOwn.wait { if case .closed? = $0.last { true } else { false } })
    _ = (left, right)
  }

  @Test("several relays' worth of client keeps its connection there, and says when it is lost")
  func connections() async throws {
    let machine = try await Machine()
    let (a, b) = (key(), key())
    machine.admit([a.publicKey, b.publicKey])
    let received = Mutex<[String]>([])
    let left = RelayConnections(nodeKey: a) { _, _, _ in }
    let right = RelayConnections(nodeKey: b) { packet, _, _ in received.withLock { $0.append(String(buffer: packet)) } }
    for connections in [left, right] {
      await connections.setRelays([machine.record])
      await connections.setHome(1, standby: nil)
    }
    for await event in right.events where event == .connected(relay: 1) { break }
    left.send(ByteBuffer(string: "over the relay"), to: b.publicKey, relays: [1])
    for _ in 0..<3000 where received.withLock(\.isEmpty) { try await Task.sleep(for: .milliseconds(10)) }
    #expect(received.withLock { $0 } == ["over the relay"])
    await left.close()
    await right.close()
    await machine.stop()
  }

  @Test("the node answers behind the relay's certificate and without TLS, and the relay's probes answer behind it")
  func sharedPort() async throws {
    let machine = try await Machine()
    for path in ["/health", "/derp/probe", "/derp/latency-check"] {
      #expect(try await get(path, machine, tls: true).hasPrefix("HTTP/1.1 200 "), "\(path)")
    }
    #expect(try await get("/health", machine, tls: false).hasPrefix("HTTP/1.1 200 "))
    #expect(try await get("/derp", machine, tls: true).hasPrefix("HTTP/1.1 426 "))
    await machine.stop()
  }

  @Test("its own machine reaches it over the loopback interface, and the record names the ports that answer STUN")
  func record() async throws {
    let machine = try await Machine()
    let port = machine.node.listeners[0].port
    #expect(machine.relay.local?.address == SocketAddress("127.0.0.1:\(port)"))
    #expect(machine.relay.local?.certificate == machine.relay.certificate)
    #expect(machine.relay.stunPorts.count == 2)
    let plan = try #require(machine.relay.plan(urls: ["http://198.51.100.1:\(port)"], region: "home"))
    #expect(plan.certSHA256 == machine.relay.certificate && plan.stunPorts == machine.relay.stunPorts)
    #expect(plan.region == "home" && plan.nodeDID == nil)
    let forwarded = try #require(machine.relay.plan(urls: ["http://198.51.100.1:443"], region: "home"))
    #expect(forwarded.stunPorts.isEmpty, "of a port that is forwarded under another number nothing is known")
    #expect(machine.relay.plan(urls: [], region: "home") == nil)
    await machine.stop()
  }

  @Test("behind a gateway the record names those STUN ports that it maps, by the numbers that others know")
  func mappedSTUN() async throws {
    let machine = try await Machine()
    let port = machine.node.listeners[0].port
    let stun = machine.relay.stunPorts
    // Some gateways give a port its own number, others any.
    for external in [port, port ^ 1] {
      let place = Wire.SocketAddress(IPAddress("198.51.100.1")!, port: external)
      var mapped: MeshRelay.Mapped = [.init(.tcp, port): place]
      func announced() -> [UInt16]? {
        let plan = machine.relay.plan(urls: ["http://\(place)"], mapped: mapped, region: "home")
        let offer = machine.relay.offer(urls: ["http://\(place)"], mapped: mapped)
        return plan?.stunPorts == offer?.stunPorts ? plan?.stunPorts : nil
      }
      #expect(announced() == [], "a gateway that maps TCP alone lets no UDP in")
      mapped[.init(.udp, stun[1])] = Wire.SocketAddress(place.ip, port: 4002)
      #expect(announced() == [4002])
      mapped[.init(.udp, stun[0])] = Wire.SocketAddress(place.ip, port: 4001)
      #expect(announced() == [4001, 4002])
    }
    await machine.stop()
  }

  /// The first bytes of the answer.
  private func get(_ path: String, _ machine: Machine, tls: Bool) async throws -> String {
    var configuration = TLSConfiguration.makeClientConfiguration()
    configuration.certificateVerification = .none
    let context = try NIOSSLContext(configuration: configuration)
    let promise = MultiThreadedEventLoopGroup.singleton.next().makePromise(of: String.self)
    let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          let pipeline = channel.pipeline.syncOperations
          if tls { try pipeline.addHandler(NIOSSLClientHandler(context: context, serverHostname: nil)) }
          try pipeline.addHandler(FirstAnswer(promise))
        }
      }
      .connect(host: "127.0.0.1", port: Int(machine.node.listeners[0].port)).get()
    try await channel.writeAndFlush(ByteBuffer(string: "GET \(path) HTTP/1.1\r\nhost: x\r\n\r\n")).get()
    let answer = try await promise.futureResult.get()
    channel.close(promise: nil)
    return answer
  }
}

/// Collects the events of a link, and waits for those that a test wants.
private final class Heard: Sendable {
  private let events = Mutex<[RelayLink.Event]>([])

  var handler: @Sendable (RelayLink.Event) -> Void { { event in self.events.withLock { $0.append(event) } } }
  var all: [RelayLink.Event] { events.withLock { $0 } }

  /// Until the condition holds, or half a minute has passed.
  func wait(_ condition: ([RelayLink.Event]) -> Bool) async throws -> Bool {
    for _ in 0..<3000 {
      if condition(all) { return true }
      try await Task.sleep(for: .milliseconds(10))
    }
    return false
  }
}

private final class FirstAnswer: ChannelInboundHandler, Sendable {
  typealias InboundIn = ByteBuffer
  private let promise: EventLoopPromise<String>
  init(_ promise: EventLoopPromise<String>) { self.promise = promise }
  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    promise.succeed(String(buffer: unwrapInboundIn(data)))
  }
  func channelInactive(context: ChannelHandlerContext) { promise.succeed("") }
  func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
