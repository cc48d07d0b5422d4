import Cryptography
import Netmap
import Testing
import Wire

@testable import Engine

@Suite("from one netmap to the next")
struct PeerChangeTests {
  private func key(_ number: UInt8) -> X25519PublicKey { X25519PublicKey([UInt8](repeating: number, count: 32))! }

  private func peer(_ number: UInt8, _ allowed: [String], revision: UInt64 = 0) -> Peer {
    let prefixes = allowed.compactMap { IPPrefix($0) }
    return Peer(key: key(number), name: "p\(number)", addresses: prefixes, allowedIPs: prefixes, revision: revision)
  }

  private var node: LocalNode {
    LocalNode(name: "self", key: key(9), addresses: [IPPrefix("10.200.0.9/32")!], meshPrefixes: [])
  }

  @Test("peers are added, updated, removed, and left alone")
  func kinds() {
    let former = [peer(1, ["10.200.0.1"]), peer(2, ["10.200.0.2"]), peer(3, ["10.200.0.3"])]
    let wanted = [peer(1, ["10.200.0.1"]), peer(2, ["10.200.0.2"], revision: 1), peer(4, ["10.200.0.4"])]
    let change = PeerChange(from: former, to: wanted, own: node)
    #expect(change.removed == [key(3)])
    #expect(change.updated == [wanted[1]])
    #expect(change.added == [wanted[2]])
    #expect(change.routes == Set(["10.200.0.1", "10.200.0.2", "10.200.0.4"].compactMap { IPPrefix($0) }))
  }

  @Test("a prefix goes to the first who has it, and an own address to nobody")
  func conflicts() {
    let wanted = [peer(1, ["10.200.0.1", "192.0.2.0/24", "10.200.0.9"]), peer(2, ["10.200.0.2", "192.0.2.0/24"])]
    let change = PeerChange(from: [], to: wanted, own: node)
    #expect(
      change.added.map { $0.allowedIPs.map(\.description) } == [
        ["10.200.0.1/32", "192.0.2.0/24"], ["10.200.0.2/32"],
      ])
  }

  @Test("the node itself and a second peer of one key are left out")
  func duplicates() {
    let change = PeerChange(
      from: [], to: [peer(9, ["10.200.0.5"]), peer(1, ["10.200.0.1"]), peer(1, ["10.200.0.2"])], own: node)
    #expect(change.added.map(\.name) == ["p1"])
    #expect(change.routes == [IPPrefix("10.200.0.1")!])
  }

  @Test("a default route is allowed and not installed")
  func defaultRoute() {
    let change = PeerChange(from: [], to: [peer(1, ["0.0.0.0/0", "10.200.0.1"])], own: node)
    #expect(change.added.first?.allowedIPs.count == 2)
    #expect(change.routes == [IPPrefix("10.200.0.1")!])
  }

  @Test("the same netmap again changes nothing")
  func idempotent() {
    let first = PeerChange(from: [], to: [peer(1, ["10.200.0.1", "10.200.0.9"]), peer(2, ["10.200.0.1"])], own: node)
    let again = PeerChange(
      from: first.added, to: [peer(1, ["10.200.0.1", "10.200.0.9"]), peer(2, ["10.200.0.1"])], own: node)
    #expect(again.added.isEmpty && again.updated.isEmpty && again.removed.isEmpty)
  }
}
