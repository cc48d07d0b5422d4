import NIOWebSocket
import Testing
import Wire

@testable import DWNNode

/// What a client may send over one connection, as a value.
@Suite struct SocketIntakeTests {
  private let now = Instant(nanoseconds: 1_000_000_000_000)

  private static let limits = {
    var limits = WebSocketConfiguration()
    limits.frameRate = RateLimit(perSecond: 10, burst: 20)
    limits.byteRate = RateLimit(perSecond: 1_000, burst: 10_000)
    limits.controlRate = RateLimit(perSecond: 1, burst: 5)
    return limits
  }()

  /// So many texts of a length; the first reason why one is too many, and how many were taken before.
  private func send(
    _ intake: inout SocketIntake, _ count: Int, acknowledging: Bool = false, _ length: Int = 100, after: Int = 0
  ) -> (taken: Int, reason: String?) {
    let time = now + .seconds(after)
    for number in 0..<count {
      let reason =
        intake.excess(.text, length: length, now: time)
        ?? intake.excess(isAcknowledgement: acknowledging, length: length, now: time)
      if let reason { return (number, reason) }
    }
    return (count, nil)
  }

  @Test("as many texts as the rate gives, and no more; after a while there are some again")
  func texts() {
    var intake = SocketIntake(Self.limits, now: now)
    let first = send(&intake, 100)
    #expect(first == (20, "too many frames"))
    let later = send(&intake, 100, after: 1)
    #expect(later.taken == 10)
  }

  @Test("long texts use up the bytes before they are looked at, and pongs are frames like others")
  func bytes() {
    var intake = SocketIntake(Self.limits, now: now)
    let reasons = [(WebSocketOpcode.text, 9_000, 0), (.text, 2_000, 0), (.pong, 2_000, 0), (.text, 1_500, 1)].map {
      intake.excess($0.0, length: $0.1, now: now + .seconds($0.2))
    }
    #expect(reasons == [nil, "too many bytes", "too many bytes", nil])
  }

  @Test("each frame that was sent may be acknowledged, at any speed; more than that is abuse, a few apart")
  func acknowledgements() {
    var intake = SocketIntake(Self.limits, now: now)
    intake.sent(1_000)
    let outcome = send(&intake, 2_000, acknowledging: true, 300)
    #expect(outcome == (1_005, "more is acknowledged than was sent"))
  }

  @Test("an acknowledgement of more than a KiB is abuse", arguments: [1_024, 1_025, 60_000])
  func longAcknowledgement(length: Int) {
    var intake = SocketIntake(WebSocketConfiguration(), now: now)
    intake.sent(1)
    let outcome = send(&intake, 1, acknowledging: true, length)
    #expect(outcome.reason == (length > 1_024 ? "an acknowledgement has at most 1024 bytes" : nil))
  }

  @Test("who was told much and said nothing may not acknowledge it for ever after")
  func window() {
    var intake = SocketIntake(Self.limits, now: now)
    intake.sent(1_000_000)
    let outcome = send(&intake, 1_000_000, acknowledging: true, 300)
    #expect(outcome.taken == 64 * 32 + 5)
  }
}
