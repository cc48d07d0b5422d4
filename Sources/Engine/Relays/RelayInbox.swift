import CLinux
import Cryptography
import DataPath
import Glibc
import NIOCore
import Synchronization
import Traversal
import Wire

/// Where packets that came over relays are parted: transport messages go to the data path at once, disco and handshake messages
/// wait for the engine's thread. The callers are event loops, so nothing here waits, and what waits is bounded: a flood of one kind,
/// or over one relay, leaves room for the others.
final class RelayInbox: Sendable {
  enum Message {
    case disco([UInt8], from: X25519PublicKey, over: UInt16)
    case handshake([UInt8], from: X25519PublicKey)
    /// Transport messages came, and went to the data path.
    case transport(from: X25519PublicKey)

    var sender: X25519PublicKey {
      switch self {
      case .disco(_, let key, _), .handshake(_, let key), .transport(let key): key
      }
    }
  }

  private enum Kind: Hashable {
    case disco
    case handshake
  }

  private struct Share: Hashable {
    let kind: Kind
    let relay: UInt16
  }

  private struct Lines {
    var messages: [Message] = []
    /// How many wait of each kind, and of these over each relay.
    var counts: [Kind: Int] = [:]
    var shares: [Share: Int] = [:]
    /// When it was last said that a peer's transport messages come this way.
    var told: [X25519PublicKey: Instant] = [:]
  }

  /// Messages of each kind over one relay, and over all.
  static let capacity = 256
  static let totalCapacity = 1024
  /// Between two times that it is said of one peer that transport messages come.
  static let tellingInterval: Duration = .milliseconds(100)
  /// In bytes: a ping that probes for the longest path.
  static let longestDisco = 2048

  /// Readable when there is something to take.
  let doorbell: CInt
  private let inlet: RelayInlet
  private let lines = Mutex(Lines())

  init(_ inlet: RelayInlet) throws(EngineError) {
    doorbell = clinux_event_create()
    guard doorbell >= 0 else { throw .system("making an event descriptor", reason: reason(of: -doorbell)) }
    self.inlet = inlet
  }

  deinit { if doorbell >= 0 { close(doorbell) } }

  /// - Parameter relay: the id of the one that it came over.
  func put(_ packet: ByteBuffer, from key: X25519PublicKey, over relay: UInt16) {
    let length = packet.readableBytes
    switch packet.withUnsafeReadableBytes({ RelayedKind($0) }) {
    case .transport:
      _ = packet.withUnsafeReadableBytes { inlet.put($0) }
      tellTransport(from: key, at: .now())
    case .disco where length <= Self.longestDisco:
      add(.disco(Array(packet.readableBytesView), from: key, over: relay), Share(kind: .disco, relay: relay))
    case .handshake:
      add(.handshake(Array(packet.readableBytesView), from: key), Share(kind: .handshake, relay: relay))
    case .disco, .other: break
    }
  }

  private func add(_ message: Message, _ share: Share) {
    let rings = lines.withLock { lines in
      guard lines.shares[share, default: 0] < Self.capacity,
        lines.counts[share.kind, default: 0] < Self.totalCapacity
      else { return false }
      lines.shares[share, default: 0] += 1
      lines.counts[share.kind, default: 0] += 1
      lines.messages.append(message)
      return lines.messages.count == 1
    }
    if rings { clinux_event_signal(doorbell) }
  }

  private func tellTransport(from key: X25519PublicKey, at now: Instant) {
    let rings = lines.withLock { lines in
      if let last = lines.told[key], now - last < Self.tellingInterval { return false }
      if lines.told.count >= Self.capacity { lines.told = lines.told.filter { now - $0.value < Self.tellingInterval } }
      guard lines.told.count < Self.capacity else { return false }
      lines.told[key] = now
      lines.messages.append(.transport(from: key))
      return lines.messages.count == 1
    }
    if rings { clinux_event_signal(doorbell) }
  }

  /// Everything that waits, in its order.
  func takeAll() -> [Message] {
    clinux_event_clear(doorbell)
    return lines.withLock { lines in
      defer { lines = Lines(told: lines.told) }
      return lines.messages
    }
  }
}

/// What a packet of a relay is, by its first bytes and its length.
enum RelayedKind {
  case transport
  case handshake
  case disco
  case other

  private static let shortestDisco = 62
  private static let shortestTransport = 32

  init(_ bytes: UnsafeRawBufferPointer) {
    if bytes.starts(with: DiscoEnvelope.magic) {
      self = bytes.count >= Self.shortestDisco ? .disco : .other
      return
    }
    guard bytes.count >= Self.shortestTransport else {
      self = .other
      return
    }
    // One byte that says what it is, and three zeros. Initiation, response and cookie reply have one length each.
    switch (UInt32(littleEndian: bytes.loadUnaligned(as: UInt32.self)), bytes.count) {
    case (4, _): self = .transport
    case (1, 148), (2, 92), (3, 64): self = .handshake
    default: self = .other
    }
  }
}
