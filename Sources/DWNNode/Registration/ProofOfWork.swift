import Cryptography
import Wire

/// The proofs of work by which DIDs register (dwn-server 13): SHA-256 over challenge, response and what is registered must not be
/// larger than a bound, which falls while many register and rises again to where it began.
struct ProofOfWork: Sendable {
  /// How long a challenge is the current one. The one before and the one after it are taken too.
  static let challengeLife = Duration.seconds(600)
  /// Registrations that the bound aims at, in a minute.
  static let wanted = 10
  private static let adjustment = Duration.seconds(10)
  private static let window = Duration.seconds(60)
  /// How long a bound counts after it was told last: whoever works on it does not know that it has fallen meanwhile.
  static let patience = Duration.seconds(120)
  /// Responses that are remembered, so that none counts twice in a minute. Who cannot be remembered has to wait.
  private static let mostResponses = 10_000

  struct Challenge: Hashable, Sendable {
    var nonce: String
    /// 64 hexadecimal digits.
    var largestHash: String
  }

  private let easiest: UInt128
  private var largest: UInt128
  /// Those before, and when they were no longer told.
  private var former: [(largest: UInt128, until: Instant)] = []
  private var challenges: [String]
  private var rotatedAt: Instant
  private var adjustedAt: Instant
  private var registered: [Instant] = []
  /// Of these, by solutions that met the bound of their time: it falls by how many do, not by those who were told an easier one.
  private var metBound: [Instant] = []
  private var responses: [String: Instant] = [:]
  private let random: any RandomSource

  init(easiest: UInt128, random: any RandomSource, now: Instant) {
    self.easiest = easiest
    self.random = random
    largest = easiest
    rotatedAt = now
    adjustedAt = now
    // The one before, the current one, the next.
    challenges = (0..<3).map { _ in Hex.encode(random.bytes(32)) }
  }

  /// What is to be solved now.
  mutating func challenge(now: Instant) -> Challenge {
    advance(now)
    let bytes = (0..<16).map { UInt8(truncatingIfNeeded: largest >> UInt128(8 * (15 - $0))) }
    return Challenge(nonce: challenges[1], largestHash: Hex.encode(bytes) + String(repeating: "ff", count: 16))
  }

  /// Takes a solution for a compact JSON text of what is registered. It counts once.
  mutating func take(
    challenge: String, response: String, registration: [UInt8], now: Instant
  ) throws(RegistrationRefusal) {
    advance(now)
    guard challenge.utf8.count == 64, Hex.decode(challenge) != nil else {
      throw .init("ProofOfWorkManagerInvalidChallengeNonce", "challengeNonce is 64 hexadecimal digits")
    }
    guard response.utf8.count == 64, Hex.decode(response) != nil else {
      throw .init("ProofOfWorkManagerInvalidResponseNonceFormat", "responseNonce is 64 hexadecimal digits")
    }
    guard challenges.contains(challenge) else {
      throw .init("ProofOfWorkInvalidOrExpiredChallenge", "ask for a challenge and solve that one")
    }
    guard responses[response] == nil, responses.count < Self.mostResponses else {
      throw .init("ProofOfWorkManagerResponseNonceReused", "this response was used a moment ago")
    }
    let hash = SHA2.sha256(Array(challenge.utf8) + Array(response.utf8) + registration)
    let number = hash.prefix(16).reduce(UInt128(0)) { $0 << 8 | UInt128($1) }
    guard number <= largestTold else {
      throw .init("ProofOfWorkInsufficientSolutionNonce", "the hash is larger than the challenge allows")
    }
    responses[response] = now
    registered.append(now)
    if number <= largest { metBound.append(now) }
  }

  private var largestTold: UInt128 { former.lazy.map(\.largest).reduce(largest, max) }

  private mutating func advance(_ now: Instant) {
    while now - rotatedAt >= Self.challengeLife {
      rotatedAt = rotatedAt + Self.challengeLife
      challenges = Array(challenges[1...]) + [Hex.encode(random.bytes(32))]
      // Whoever was away longer than all challenges live need not make each of those between.
      if now - rotatedAt >= Self.challengeLife * 4 { rotatedAt = now }
    }
    guard now - adjustedAt >= Self.adjustment else { return }
    adjustedAt = now
    former.removeAll { now - $0.until >= Self.patience }
    former.append((largest, now))
    registered.removeAll { now - $0 >= Self.window }
    metBound.removeAll { now - $0 >= Self.window }
    responses = responses.filter { now - $0.value < Self.window }
    if metBound.count > Self.wanted {
      largest = max(1, largest / UInt128(metBound.count) * UInt128(Self.wanted))
    } else if registered.count <= Self.wanted {
      let step = max(1, largest / 4)
      largest = easiest - largest < step ? easiest : largest + step
    }
  }
}

/// Why a registration is refused, as its answer says it.
struct RegistrationRefusal: Error, Hashable, Sendable {
  var code: String
  var message: String

  init(_ code: String, _ message: String) {
    self.code = code
    self.message = message
  }

  var json: JSONValue { ["code": .string(code), "message": .string(message)] }
}
