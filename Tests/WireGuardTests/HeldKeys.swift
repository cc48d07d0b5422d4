import Cryptography
import Wire
import WireGuard

/// A `SealingKey` that expectations can be written about.
final class Sealer {
  private var key: SealingKey

  init(_ session: Session, key: SecretBytes, startingAt counter: UInt64 = 0) {
    self.key = SealingKey(session, key: key, startingAt: counter)
  }

  func takeCounters(_ count: Int = 1, at now: Instant) -> UInt64? { key.takeCounters(count, at: now) }
  func wantsRekey(at now: Instant) -> Bool { key.wantsRekey(at: now) }
  func rekeyIsTold() { key.rekeyIsTold() }

  /// The datagram, sealed in place; `nil` if the session is spent.
  func seal(_ packet: [UInt8], at now: Instant) -> [UInt8]? {
    guard let counter = key.takeCounters(at: now) else { return nil }
    var datagram = [UInt8](repeating: 0, count: packet.count + TransportMessage.overhead)
    datagram.replaceSubrange(16..<(16 + packet.count), with: packet)
    datagram.withUnsafeMutableBytes {
      key.seal($0.baseAddress! + 16, count: packet.count, counter: counter, into: $0.baseAddress!)
    }
    return datagram
  }
}

/// An `OpeningKey` that expectations can be written about.
final class Opener {
  private var key: OpeningKey

  init(_ session: Session, key: SecretBytes) { self.key = OpeningKey(session, key: key) }

  var confirmsSession: Bool { key.confirmsSession }
  func confirmationIsTold() { key.confirmationIsTold() }
  func wantsRekey(at now: Instant) -> Bool { key.wantsRekey(at: now) }
  func rekeyIsTold() { key.rekeyIsTold() }

  func open(_ datagram: [UInt8], at now: Instant) -> (outcome: OpeningKey.Outcome, packet: [UInt8]) {
    var buffer = datagram
    let outcome = buffer.withUnsafeMutableBytes { key.open($0.baseAddress!, count: $0.count, at: now) }
    guard case .opened(let count) = outcome else { return (outcome, []) }
    return (outcome, Array(buffer[16..<(16 + count)]))
  }
}

/// `TrafficWords` that expectations can be written about.
final class HeldWords {
  private let words = TrafficWords()

  func recordSent(isData: Bool, at now: Instant) -> Bool { words.recordSent(isData: isData, at: now) }
  func recordReceived(isData: Bool, at now: Instant) -> Bool { words.recordReceived(isData: isData, at: now) }
  func rearmSent() { words.rearmSent() }
  func rearmReceived() { words.rearmReceived() }
  func observe() -> Traffic { words.observe() }
}
