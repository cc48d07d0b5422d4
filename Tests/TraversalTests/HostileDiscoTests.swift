import Cryptography
import Netmap
import TestSupport
import Testing
import Wire

@testable import Traversal

@Suite("disco that somebody cut, changed, made longer, or sends again")
struct HostileDiscoTests: FinderSuite {
  let world: FinderWorld

  init() throws { world = try FinderWorld() }

  /// What somebody on the way, or a relay's runner, does with what it saw.
  private func harm(_ seen: [UInt8]) -> [UInt8] {
    var bytes = seen
    switch random.uniform(below: 5) {
    case 0: bytes.removeLast(Int(random.uniform(below: UInt64(bytes.count))) + 1)
    case 1: bytes[Int(random.uniform(below: UInt64(bytes.count)))] ^= UInt8(1 + random.uniform(below: 255))
    case 2: bytes += random.bytes(Int(1 + random.uniform(below: 60_000)))
    case 3: bytes.swapAt(6 + Int(random.uniform(below: 32)), 38 + Int(random.uniform(below: 24)))
    default: break
    }
    return bytes
  }

  @Test("however it comes, it leads to no address that did not answer, to few messages, and to nothing that is kept")
  func hostile() throws {
    _ = finder.apply(netmap([home]), now: start)
    let first = try #require(pings(finder.wantsToSend(to: peer.publicKey, now: start)).first)
    _ = finder.receive(sealed(.pong(first.id, source: home)), .datagram(from: home), now: start + .milliseconds(5))
    #expect(finder.route(to: peer.publicKey) == .direct(home))

    // What the peer said once, and could be heard by others.
    var recorded = [sealed(.pong(first.id, source: home)), sealed(.callMeMaybe([home]))]
    for _ in 0..<6 {
      recorded.append(sealed(.ping(TransactionID(random: random), nodeKey: peer.publicKey, padding: 0)))
      recorded.append(sealed(.pong(TransactionID(random: random), source: home)))
    }
    let seconds = 20
    var (pingCount, answerCount) = (0, 0)
    for step in 0..<(seconds * 400) {
      let now = start + .milliseconds(Int64(step) * 1000 / 400)
      let message = harm(recorded[Int(random.uniform(below: UInt64(recorded.count)))])
      let source = SocketAddress(IPAddress(v4: 0xcb00_7100 + UInt32(random.uniform(below: 200))), port: 9)
      let relayed = random.uniform(below: 3) == 0
      var actions = finder.receive(
        message, relayed ? .relayed(from: peer.publicKey) : .datagram(from: source), now: now)
      actions += finder.wantsToSend(to: peer.publicKey, now: now)
      actions += finder.advance(now: now) { _ in (now, now) }
      for action in actions {
        switch action {
        case .send(let bytes, let address):
          switch DiscoEnvelope.open(bytes, in: box) {
          case .ping(let id, _, _)?:
            pingCount += 1
            // The peer is where it was, and answers.
            if address == home {
              actions += finder.receive(sealed(.pong(id, source: home)), .datagram(from: home), now: now)
            }
          default: answerCount += 1
          }
        case .sendRelayed: answerCount += 1
        default: break
        }
      }
      let route = finder.route(to: peer.publicKey)
      #expect(route?.address == home, "second \(step / 400): \(String(describing: route))")
      guard route?.address == home else { return }
    }
    #expect(pingCount <= (seconds + 1) * PathConstants.pingsPerSecondAndPeer)
    #expect(answerCount <= (seconds + 1) * (PathConstants.pongsPerSecondAndPeer + 1))
    let path = try #require(finder.peers[peer.publicKey])
    #expect(path.candidates.entries.count <= 57 && path.pings.count <= PathConstants.outstandingPings)
    #expect(finder.statistics.refused > 3000)
  }
}
