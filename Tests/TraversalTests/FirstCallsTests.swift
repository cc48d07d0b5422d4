import Cryptography
import Netmap
import Testing
import Wire

@testable import Traversal

/// Two machines that have just learnt of each other, and begin at different moments.
@Suite("the first calls of two machines")
struct FirstCallsTests: FinderSuite {
  let world: FinderWorld

  init() throws { world = try FinderWorld() }

  private func advance(to end: Instant) -> [PathAction] {
    var actions: [PathAction] = []
    while let due = finder.nextDeadline, due <= end {
      actions += finder.advance(now: due) { _ in (due, nil) }
    }
    return actions
  }

  private func call(at now: Instant) -> [PathAction] {
    finder.receive(sealed(.callMeMaybe([home])), .relayed(from: peer.publicKey), now: now)
  }

  private func calls(_ actions: [PathAction]) -> Int {
    actions.count {
      guard case .sendRelayed(let bytes, _) = $0, case .callMeMaybe = DiscoEnvelope.open(bytes, in: box) else {
        return false
      }
      return true
    }
  }

  @Test("what was pinged before a call is pinged once more after it: only then the caller may let this machine in")
  func onceMore() {
    _ = finder.apply(netmap([home]), now: start)
    #expect(pings(finder.wantsToSend(to: peer.publicKey, now: start)).map(\.to) == [home])
    let called = start + .milliseconds(80)
    #expect(pings(call(at: called) + advance(to: called + .milliseconds(299))).isEmpty, "it was pinged just now")
    #expect(pings(advance(to: called + .milliseconds(300))).map(\.to) == [home])
    #expect(pings(advance(to: called + .milliseconds(900))).isEmpty, "and no more than once")
  }

  @Test("what answered before is not pinged once more")
  func answered() throws {
    _ = finder.apply(netmap([home]), now: start)
    for ping in pings(call(at: start)) {
      _ = finder.receive(
        sealed(.pong(ping.id, source: home)), .datagram(from: ping.to), now: start + .milliseconds(20))
    }
    #expect(finder.route(to: peer.publicKey) == .direct(home))
    let again = pings(advance(to: start + .milliseconds(400))).filter { $0.length < 200 }
    #expect(again.count <= 1, "how long packets may be is asked for, the way itself is not")
  }

  @Test("a peer that calls takes nothing from this machine's own calls: its first may have come too early")
  func ownCalls() {
    _ = finder.setHasRelay(true, now: start)
    _ = finder.setOwnEndpoints([home], now: start)
    _ = finder.apply(netmap([]), now: start)
    #expect(calls(finder.wantsToSend(to: peer.publicKey, now: start)) == 1)
    #expect(calls(call(at: start + .milliseconds(80))) == 0, "it was called a moment ago")
    #expect(calls(advance(to: start + .milliseconds(1099))) == 0)
    #expect(calls(advance(to: start + .milliseconds(1100))) == 1)
  }

  @Test("what is called for the first time is pinged at once, and once more")
  func twice() {
    _ = finder.apply(netmap([]), now: start)
    #expect(pings(call(at: start)).map(\.to) == [home])
    #expect(pings(advance(to: start + .milliseconds(300))).map(\.to) == [home])
    #expect(pings(advance(to: start + .milliseconds(900))).isEmpty)
  }
}
