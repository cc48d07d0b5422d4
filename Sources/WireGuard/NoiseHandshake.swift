import Cryptography

/// What this end needs to know of the other for a handshake.
struct HandshakePeer: Sendable {
  let publicKey: X25519PublicKey
  /// DH of the two static keys, the same in every handshake.
  let staticSecret: SecretBytes

  /// `nil` if the key is of small order.
  init?(_ publicKey: X25519PublicKey, local: X25519PrivateKey) {
    guard let secret = local.sharedSecret(with: publicKey) else { return nil }
    self.publicKey = publicKey
    self.staticSecret = secret
  }
}

/// The initiator between its message and the response (Noise IKpsk2, WireGuard §5.4.2).
struct InitiatorHandshake: Sendable {
  let localIndex: UInt32
  private let state: SymmetricState
  private let ephemeral: X25519PrivateKey

  /// Writes the initiation.
  static func begin(
    _ local: X25519PrivateKey, with peer: HandshakePeer, localIndex: UInt32, ephemeral: X25519PrivateKey,
    timestamp: TAI64N
  ) -> (InitiatorHandshake, HandshakeInitiation)? {
    guard let secret = ephemeral.sharedSecret(with: peer.publicKey) else { return nil }
    var state = SymmetricState(responder: peer.publicKey)
    state.mixKey(ephemeral.publicKey)
    state.mixHash(ephemeral.publicKey.bytes.array)
    let staticKey = state.mixKeyForField(secret)
    let sealedStatic = state.seal(local.publicKey.bytes.array, key: staticKey)
    let timestampKey = state.mixKeyForField(peer.staticSecret)
    let sealedTimestamp = state.seal(timestamp.bytes, key: timestampKey)
    return (
      InitiatorHandshake(localIndex: localIndex, state: state, ephemeral: ephemeral),
      HandshakeInitiation(
        sender: localIndex, ephemeral: ephemeral.publicKey, sealedStatic: sealedStatic,
        sealedTimestamp: sealedTimestamp)
    )
  }

  /// Reads the response. `nil` if it is not the answer to this initiation by that peer; the handshake then goes on waiting.
  func finish(
    _ response: HandshakeResponse, _ local: X25519PrivateKey, presharedKey: SecretBytes
  ) -> SessionKeys? {
    guard response.receiver == localIndex,
      let ephemeralSecret = ephemeral.sharedSecret(with: response.ephemeral),
      let staticSecret = local.sharedSecret(with: response.ephemeral)
    else { return nil }
    var state = state
    state.mixHash(response.ephemeral.bytes.array)
    state.mixKey(response.ephemeral)
    state.mixKey(ephemeralSecret)
    state.mixKey(staticSecret)
    let key = state.mixPresharedKey(presharedKey)
    guard state.open(response.sealedNothing, key: key) != nil else { return nil }
    let keys = state.split()
    return SessionKeys(send: keys.initiator, receive: keys.responder)
  }
}

/// The responder, from the initiation to its answer (Noise IKpsk2, WireGuard §5.4.3). It keeps nothing between messages.
struct ResponderHandshake: Sendable {
  /// Who the initiation says it is from. Proven by `openTimestamp`.
  let initiator: X25519PublicKey
  private let initiation: HandshakeInitiation
  private var state: SymmetricState

  /// Reads who initiates. `nil` if the message was not made for this key.
  init?(_ initiation: HandshakeInitiation, _ local: X25519PrivateKey) {
    guard let secret = local.sharedSecret(with: initiation.ephemeral) else { return nil }
    var state = SymmetricState(responder: local.publicKey)
    state.mixKey(initiation.ephemeral)
    state.mixHash(initiation.ephemeral.bytes.array)
    let key = state.mixKeyForField(secret)
    guard let bytes = state.open(initiation.sealedStatic, key: key), let initiator = X25519PublicKey(bytes) else {
      return nil
    }
    self.initiator = initiator
    self.initiation = initiation
    self.state = state
  }

  /// Reads when. `nil` if the initiator does not hold the static key that it named.
  mutating func openTimestamp(_ peer: HandshakePeer) -> TAI64N? {
    let key = state.mixKeyForField(peer.staticSecret)
    return state.open(initiation.sealedTimestamp, key: key).flatMap(TAI64N.init)
  }

  /// Writes the response, after `openTimestamp`.
  func respond(
    localIndex: UInt32, ephemeral: X25519PrivateKey, presharedKey: SecretBytes
  ) -> (HandshakeResponse, SessionKeys)? {
    guard let ephemeralSecret = ephemeral.sharedSecret(with: initiation.ephemeral),
      let staticSecret = ephemeral.sharedSecret(with: initiator)
    else { return nil }
    var state = state
    state.mixHash(ephemeral.publicKey.bytes.array)
    state.mixKey(ephemeral.publicKey)
    state.mixKey(ephemeralSecret)
    state.mixKey(staticSecret)
    let key = state.mixPresharedKey(presharedKey)
    let sealedNothing = state.seal([], key: key)
    let keys = state.split()
    return (
      HandshakeResponse(
        sender: localIndex, receiver: initiation.sender, ephemeral: ephemeral.publicKey, sealedNothing: sealedNothing),
      SessionKeys(send: keys.responder, receive: keys.initiator)
    )
  }
}
