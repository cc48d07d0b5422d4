import Cryptography
import Netmap
import TestSupport
import Testing
import Wire

@testable import Engine

@Suite("disco keys that peers told themselves")
struct AdvertisedKeysTests {
  private static let random = SeededRandom(4)
  private static func key() -> X25519PublicKey { X25519PrivateKey(random: random).publicKey }

  private let recorded = key()
  private let told = key()
  private let later = key()
  private let peer = Self.key()
  private let start = Instant(nanoseconds: 1_000_000_000)

  private func netmap(_ discoKey: X25519PublicKey?) -> Netmap {
    let node = LocalNode(name: "here", key: Self.key(), addresses: [], meshPrefixes: [])
    return Netmap(
      networkName: "home", node: node,
      peers: [Peer(key: peer, name: "there", addresses: [], allowedIPs: [], discoKey: discoKey)])
  }

  @Test("hold over the record that they were told beside, until a newer one says something else")
  func untilNewerRecord() {
    for former in [recorded, nil] {
      var keys = AdvertisedKeys()
      let changed = keys.note(told, of: netmap(former).peers[0], now: start)
      #expect(changed?.discoKey == told)
      let seen = [former, former, later, former].map { keys.laid(over: netmap($0)).peers[0].discoKey }
      #expect(seen == [told, told, later, former], "what was overtaken is forgotten")
    }
  }

  @Test("what is known already is no news, and a peer is not followed at every whim")
  func pace() {
    var keys = AdvertisedKeys()
    var peer = netmap(recorded).peers[0]
    func note(_ key: X25519PublicKey, after seconds: Int64) -> Bool {
      let changed = keys.note(key, of: peer, now: start + .seconds(seconds))
      peer = changed ?? peer
      return changed != nil
    }
    let taken = [(recorded, 0), (told, 0), (told, 20), (later, 9), (later, 10)].map { note($0, after: $1) }
    #expect(taken == [false, true, false, false, true])
    let seen = keys.laid(over: netmap(recorded)).peers[0].discoKey
    #expect(seen == later)
  }
}
