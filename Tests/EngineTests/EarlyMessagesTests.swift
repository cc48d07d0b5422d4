import Cryptography
import TestSupport
import Testing
import Wire

@testable import Engine

@Suite("what machines send that are not known yet")
struct EarlyMessagesTests {
  private let start = Instant(nanoseconds: 1_000_000_000_000)
  private let keys = (0..<40).map { X25519PrivateKey(random: SeededRandom(UInt64($0 + 1))).publicKey }

  private func disco(_ sender: Int, _ number: UInt8 = 0) -> RelayInbox.Message {
    .disco([number], from: keys[sender], over: 1)
  }

  private func handshake(_ sender: Int, _ number: UInt8 = 0) -> RelayInbox.Message {
    .handshake([number], from: keys[sender])
  }

  private func words(_ messages: [RelayInbox.Message]) -> [String] {
    messages.map {
      let sender = keys.firstIndex(of: $0.sender) ?? -1
      return switch $0 {
      case .disco(let bytes, _, _): "disco \(sender) \(bytes)"
      case .handshake(let bytes, _): "handshake \(sender) \(bytes)"
      case .transport: "transport"
      }
    }
  }

  @Test("the newest of each kind is given out once, when its sender is known")
  func newest() {
    var early = EarlyMessages()
    for number in 1...3 as ClosedRange<UInt8> {
      early.hold(disco(0, number), at: start)
      early.hold(handshake(0, number), at: start)
      early.hold(disco(1, number), at: start)
    }
    for sender in 0...2 { early.hold(.transport(from: keys[sender]), at: start) }
    #expect(early.take(at: start) { _ in false }.isEmpty)
    #expect(words(early.take(at: start) { $0.sender == keys[0] }) == ["disco 0 [3]", "handshake 0 [3]"])
    #expect(words(early.take(at: start) { _ in true }) == ["disco 1 [3]"])
    #expect(early.take(at: start) { _ in true }.isEmpty)
  }

  @Test("a disco key that is not known yet leaves the handshake its turn")
  func partly() {
    var early = EarlyMessages()
    early.hold(disco(0), at: start)
    early.hold(handshake(0), at: start)
    let handshakes = early.take(at: start) { if case .handshake = $0 { true } else { false } }
    #expect(words(handshakes) == ["handshake 0 [0]"])
    #expect(words(early.take(at: start) { _ in true }) == ["disco 0 [0]"])
  }

  @Test("after five seconds it is nobody's any more")
  func old() {
    var early = EarlyMessages()
    early.hold(handshake(0), at: start)
    #expect(early.take(at: start + .seconds(5)) { _ in true }.isEmpty)
  }

  @Test("of many senders the last sixteen are kept")
  func many() {
    var early = EarlyMessages()
    for sender in keys.indices { early.hold(disco(sender), at: start) }
    early.hold(disco(30), at: start)
    let taken = words(early.take(at: start) { _ in true })
    #expect(taken.count == EarlyMessages.capacity)
    #expect(taken.first == "disco 24 [0]" && taken.last == "disco 30 [0]")
  }
}
