import Cryptography
import Netmap
import Testing
import Wire

@testable import Traversal

/// When a peer is told over the relay where this machine is, and what it is told.
@Suite("calls to a peer whose way broke")
struct CallTests: FinderSuite {
  let world: FinderWorld
  private let former = SocketAddress("192.0.2.5:41641")!
  private let new = SocketAddress("192.0.2.5:7")!
  /// Since then packets go over the broken way and over the relay.
  private let suspectAt: Instant

  /// The way was direct, and nothing came back on it for more than a second.
  init() throws {
    world = try FinderWorld()
    let (finder, start) = (world.finder, world.start)
    suspectAt = start + .milliseconds(1400)
    _ = finder.apply(netmap([home]), now: start)
    for ping in pings(finder.wantsToSend(to: peer.publicKey, now: start)) {
      let pong = sealed(.pong(ping.id, source: former))
      _ = finder.receive(pong, .datagram(from: ping.to), now: start + .milliseconds(20))
    }
    #expect(finder.route(to: peer.publicKey) == .direct(home))
    let actions = advance(to: suspectAt)
    #expect(finder.route(to: peer.publicKey) == .both(home))
    #expect(actions.contains(.refreshOwnEndpoints))
    #expect(calls(actions).isEmpty, "a router may have given it another address")
  }

  /// Packets go out all the time, and nothing comes.
  private func advance(to end: Instant) -> [PathAction] {
    var actions: [PathAction] = []
    while let due = finder.nextDeadline, due <= end {
      actions += finder.advance(now: due) { _ in (due, nil) }
    }
    return actions
  }

  private func calls(_ actions: [PathAction]) -> [[SocketAddress]] {
    actions.compactMap { action in
      guard case .sendRelayed(let bytes, _) = action,
        case .callMeMaybe(let endpoints) = DiscoEnvelope.open(bytes, in: box)
      else { return nil }
      return endpoints
    }
  }

  @Test("addresses that could not be found out in time are told, and are found out again before the next call")
  func overdue() {
    let now = suspectAt + .milliseconds(500)
    #expect(calls(finder.setOwnEndpoints([former], .overdue, now: now)) == [[former]])
    let next = advance(to: start + .seconds(4))
    #expect(next.contains(.refreshOwnEndpoints) && calls(next).isEmpty)
    #expect(calls(finder.setOwnEndpoints([former], now: start + .seconds(4))) == [[former]])
    let last = advance(to: start + .seconds(7))
    #expect(!last.contains(.refreshOwnEndpoints) && calls(last).count == 1)
  }

  @Test("who was told a former address is told the new one, a second after the last call at the earliest")
  func correction() {
    let now = suspectAt + .milliseconds(500)
    #expect(calls(finder.setOwnEndpoints([former], .overdue, now: now)) == [[former]])
    #expect(calls(finder.setOwnEndpoints([new], now: now + .milliseconds(200))).isEmpty)
    #expect(calls(advance(to: now + .milliseconds(1099))).isEmpty)
    #expect(calls(advance(to: now + .milliseconds(1100))) == [[new]], "a little more than the peer asks for")
    #expect(calls(finder.setOwnEndpoints([new], now: now + .milliseconds(2300))).isEmpty, "nothing new")
  }

  @Test("what comes to be known while others are asked is told with what they say")
  func noted() {
    #expect(calls(finder.setOwnEndpoints([new], .noted, now: suspectAt + .milliseconds(20))).isEmpty)
    #expect(calls(finder.setOwnEndpoints([new, former], now: suspectAt + .milliseconds(50))) == [[new, former]])
  }

  /// Ten times, as far apart as checks of the network, this machine is seen at another port, and nobody sends anything.
  ///
  /// - Parameter called: the peer calls all the time.
  /// - Returns: whether the peer was told of each.
  private func ports(called: Bool) -> [Bool] {
    _ = finder.setOwnEndpoints([former], now: suspectAt + .milliseconds(100))
    var now = suspectAt
    return (1...10).map { round in
      let end = suspectAt + .seconds(23 * round)
      while now < end {
        now = now + .seconds(1)
        _ = finder.advance(now: now) { _ in (nil, nil) }
        if called { _ = finder.receive(sealed(.callMeMaybe([home])), .relayed(from: peer.publicKey), now: now) }
      }
      let news = SocketAddress(former.ip, port: UInt16(1000 + round))
      let told = calls(finder.setOwnEndpoints([news], now: end)) + calls(idle(until: end + .seconds(2)))
      return told.contains([news])
    }
  }

  private func idle(until end: Instant) -> [PathAction] {
    var actions: [PathAction] = []
    while let due = finder.nextDeadline, due <= end { actions += finder.advance(now: due) { _ in (nil, nil) } }
    return actions
  }

  @Test("who is not sent to any more is told of a new port for half a minute, and not for ever")
  func idle() {
    #expect(ports(called: false) == [true] + Array(repeating: false, count: 9))
  }

  @Test("who calls is told of each new port, though nothing is sent to it")
  func sought() {
    #expect(ports(called: true).allSatisfy { $0 })
  }

  @Test("who has a way is not called, whatever changes")
  func trusted() throws {
    _ = finder.setOwnEndpoints([former], .overdue, now: suspectAt + .milliseconds(500))
    _ = finder.setOwnEndpoints([new], now: suspectAt + .milliseconds(700))
    for (id, ping) in finder.peers[peer.publicKey]?.pings ?? [:] where ping.address == home {
      _ = finder.receive(
        sealed(.pong(id, source: former)), .datagram(from: home), now: suspectAt + .milliseconds(800))
    }
    #expect(finder.route(to: peer.publicKey) == .direct(home))
    #expect(calls(finder.setOwnEndpoints([former], now: suspectAt + .milliseconds(900))).isEmpty)
    #expect(calls(advance(to: suspectAt + .milliseconds(1600))).isEmpty)
  }
}
