import Cryptography
import NIOPosix
import Synchronization
import Wire

/// What a node asks of a newcomer's processor (`dwn-server.md` 13): a text that makes a hash small.
struct WorkSearch: Hashable, Sendable {
  /// As the node spells it.
  let challenge: String
  /// The largest hash that is taken, 32 bytes, most significant first.
  let limit: [UInt8]

  private static let longestChallenge = 256

  /// `nil` unless it has a challenge and a number of 256 bits.
  init?(_ json: JSONValue) {
    guard let challenge = json["challengeNonce"]?.string,
      (1...Self.longestChallenge).contains(challenge.utf8.count),
      let limit = json["maximumAllowedHashValue"]?.string.flatMap({ Hex.decode($0) }), limit.count == 32
    else { return nil }
    self.challenge = challenge
    self.limit = limit
  }

  /// Searches beside everything else for a response to what is registered: 64 hexadecimal digits. `nil` when the time is over, or the
  /// task is cancelled.
  func response(for data: [UInt8], within patience: Duration, random: any RandomSource) async -> String? {
    let stop = StopFlag()
    let start = Hex.encode(random.bytes(24))
    let deadline = Instant.now() + patience
    return await withTaskCancellationHandler {
      // Not on the pool that everybody's tasks run on: this one computes for as long as it may.
      try? await NIOThreadPool.singleton.runIfActive {
        response(for: data, start: start) { stop.isSet || Instant.now() > deadline }
      }
    } onCancel: {
      stop.set()
    }
  }

  /// Asks every few thousand hashes whether it is over.
  func response(for data: [UInt8], start: String, isOver: () -> Bool) -> String? {
    var begun = SHA256Stream()
    begun.update((challenge + start).utf8)
    var number: UInt64 = 0
    while !isOver() {
      for _ in 0..<4096 {
        let digits = Self.digits(number)
        var hash = begun
        hash.update(digits + data)
        // As a number, no larger than the limit.
        if !limit.lexicographicallyPrecedes(hash.finalize()) { return start + String(decoding: digits, as: UTF8.self) }
        number &+= 1
      }
    }
    return nil
  }

  /// Sixteen of them, hexadecimal.
  private static func digits(_ number: UInt64) -> [UInt8] {
    (0..<16).map { place in
      let digit = UInt8(truncatingIfNeeded: number >> UInt64(60 - 4 * place) & 15)
      return digit < 10 ? 0x30 + digit : 0x57 + digit
    }
  }
}

private final class StopFlag: Sendable {
  private let flag = Atomic(false)

  var isSet: Bool { flag.load(ordering: .relaxed) }

  func set() { flag.store(true, ordering: .relaxed) }
}
