public import Cryptography
public import Wire

/// Names a peer for as long as the device lives: numbers are not given out twice, so a late event cannot hit another peer.
public struct PeerID: Hashable, Comparable, Sendable {
  public let number: UInt32

  public init(_ number: UInt32) { self.number = number }

  public static func < (a: PeerID, b: PeerID) -> Bool { a.number < b.number }
}

/// Names a session for as long as the device lives, unlike its index, which is free again after it.
public struct SessionID: Hashable, Sendable {
  public let number: UInt64

  public init(_ number: UInt64) { self.number = number }
}

/// A session without its keys: what both the control side and the data path need to know of it.
public struct Session: Hashable, Sendable {
  /// Who began the handshake. Only that end replaces the session because of its age, or both would.
  public enum Role: Sendable {
    case initiator
    case responder
  }

  public let id: SessionID
  public let peer: PeerID
  public let role: Role
  /// The index the peer writes into messages to us.
  public let localIndex: UInt32
  /// The index we write into messages to the peer.
  public let remoteIndex: UInt32
  public let establishedAt: Instant

  public init(
    id: SessionID, peer: PeerID, role: Role, localIndex: UInt32, remoteIndex: UInt32, establishedAt: Instant
  ) {
    self.id = id
    self.peer = peer
    self.role = role
    self.localIndex = localIndex
    self.remoteIndex = remoteIndex
    self.establishedAt = establishedAt
  }

  /// The session must not be used at this time or later.
  public var rejectAt: Instant { establishedAt + ProtocolConstants.rejectAfterTime }

  public func isUsable(at now: Instant) -> Bool { now < rejectAt }
}

/// The two transport keys of a session, from this end's point of view.
public struct SessionKeys: Sendable {
  public let send: SecretBytes
  public let receive: SecretBytes

  public init(send: SecretBytes, receive: SecretBytes) {
    self.send = send
    self.receive = receive
  }
}
