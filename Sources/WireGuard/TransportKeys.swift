public import Cryptography
public import Wire

/// The sending half of a session: its key, its counter, and the age at which it wants a successor.
///
/// Owned by the one thread that sends; lives in raw memory as well as in a variable. Nothing here allocates.
public struct SealingKey: ~Copyable, Sendable {
  public let session: SessionID
  public let peer: PeerID
  public let remoteIndex: UInt32
  private let cipher: PacketCipher
  private var counter: UInt64
  private let rejectAt: UInt64
  private let rekeyAt: UInt64
  private var hasToldRekey = false

  /// - Parameter counter: the first to use; not zero only in tests of the limits.
  public init(_ session: Session, key: SecretBytes, startingAt counter: UInt64 = 0) {
    self.session = session.id
    self.peer = session.peer
    self.remoteIndex = session.remoteIndex
    self.cipher = PacketCipher(key: key)
    self.counter = counter
    self.rejectAt = session.rejectAt.nanoseconds
    self.rekeyAt =
      session.role == .initiator
      ? (session.establishedAt + ProtocolConstants.rekeyAfterTime).nanoseconds : .max
  }

  /// Takes `count` counters in a row and gives the first. `nil` if the session is too old or has too few left: then there is
  /// no session for these packets.
  public mutating func takeCounters(_ count: Int = 1, at now: Instant) -> UInt64? {
    let first = counter
    let wanted = UInt64(truncatingIfNeeded: count)
    guard now.nanoseconds < rejectAt, first < ProtocolConstants.rejectAfterMessages,
      wanted <= ProtocolConstants.rejectAfterMessages &- first
    else { return nil }
    counter = first &+ wanted
    return first
  }

  /// Writes one transport message: header, then `count` bytes from `packet` (already padded) sealed, then the tag.
  ///
  /// `datagram` has room for `count + TransportMessage.overhead`. `packet` may be `datagram + TransportMessage.headerLength`,
  /// and must not overlap it otherwise.
  public func seal(
    _ packet: UnsafeRawPointer, count: Int, counter: UInt64, into datagram: UnsafeMutableRawPointer
  ) {
    TransportMessage.writeHeader(receiverIndex: remoteIndex, counter: counter, to: datagram)
    cipher.seal(packet, count: count, counter: counter, into: datagram + TransportMessage.headerLength)
  }

  /// Ask after sending data: whether the session is past its rekey age or count, and nobody was told so.
  public func wantsRekey(at now: Instant) -> Bool {
    (now.nanoseconds > rekeyAt || counter > ProtocolConstants.rekeyAfterMessages) && !hasToldRekey
  }

  /// Somebody was told that `wantsRekey` was true. It is not again.
  public mutating func rekeyIsTold() { hasToldRekey = true }
}

/// The receiving half of a session: its key, its replay window, and what has been told about it.
///
/// Owned by the one thread that receives; lives in raw memory as well as in a variable. Nothing here allocates.
public struct OpeningKey: ~Copyable, Sendable {
  public enum Outcome: Equatable, Sendable {
    /// The padded packet of this many bytes lies at `TransportMessage.headerLength`; 0 is a keepalive.
    case opened(Int)
    /// Not sealed with this key, or changed on the way. The buffer is spoilt.
    case notAuthentic
    /// Seen before, too far behind, or above the counter's limit.
    case replayed
    /// The session is too old. The buffer is untouched.
    case expired
  }

  public let session: SessionID
  public let peer: PeerID
  public let localIndex: UInt32
  private let cipher: PacketCipher
  private var window = ReplayWindow()
  private let rejectAt: UInt64
  private let rekeyAt: UInt64
  private var hasToldRekey = false
  private var isConfirmed: Bool

  public init(_ session: Session, key: SecretBytes) {
    self.session = session.id
    self.peer = session.peer
    self.localIndex = session.localIndex
    self.cipher = PacketCipher(key: key)
    self.rejectAt = session.rejectAt.nanoseconds
    self.rekeyAt =
      session.role == .initiator
      ? (session.establishedAt + ProtocolConstants.rekeyAfterTimeReceiving).nanoseconds : .max
    self.isConfirmed = session.role == .initiator
  }

  /// Opens a whole transport message (`TransportMessage.isTransport` holds) in place, then consults the replay window.
  public mutating func open(_ datagram: UnsafeMutableRawPointer, count: Int, at now: Instant) -> Outcome {
    guard now.nanoseconds < rejectAt else { return .expired }
    let counter = TransportMessage.counter(of: datagram)
    guard counter < ProtocolConstants.rejectAfterMessages else { return .replayed }
    let sealed = count &- TransportMessage.headerLength
    guard cipher.open(datagram + TransportMessage.headerLength, count: sealed, counter: counter) else {
      return .notAuthentic
    }
    guard window.accept(counter) else { return .replayed }
    return .opened(sealed &- PacketCipher.tagLength)
  }

  /// The greatest counter of a packet that was opened.
  public var greatestCounter: UInt64 { window.greatest }

  /// Ask after a packet was opened: whether it confirms a session that we did not initiate, and nobody was told so.
  public var confirmsSession: Bool { !isConfirmed }

  /// Somebody was told that `confirmsSession` was true. It is not again.
  public mutating func confirmationIsTold() { isConfirmed = true }

  /// Ask after a packet was opened: whether the session will soon be refused although we, its initiator, only receive, and
  /// nobody was told so.
  public func wantsRekey(at now: Instant) -> Bool { now.nanoseconds > rekeyAt && !hasToldRekey }

  /// Somebody was told that `wantsRekey` was true. It is not again.
  public mutating func rekeyIsTold() { hasToldRekey = true }
}
