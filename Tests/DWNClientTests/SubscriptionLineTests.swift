import DWN
import DWNClient
import Testing
import Wire

@Suite("The life of one subscription")
struct SubscriptionLineTests {
  static let start = Instant(nanoseconds: 1_000_000_000)
  static let ok = Reply(.init(200, "OK"))

  static func token(_ position: UInt64, epoch: String = "e", stream: String = "s") -> ProgressToken {
    ProgressToken(streamID: stream, epoch: epoch, position: FeedPosition(position))
  }

  static func event(_ position: UInt64, epoch: String = "e", stream: String = "s") -> SubscriptionFrame {
    let message: JSONValue = ["at": .integer(Int64(position))]
    return .event(
      SubscriptionEvent(
        cursor: token(position, epoch: epoch, stream: stream), entry: ReplyEntry(message: message),
        messageCID: CID(of: message), protocolURI: nil))
  }

  static func live(after cursor: ProgressToken? = nil) -> SubscriptionLine {
    var line = SubscriptionLine(remembered: cursor, at: start)
    _ = line.open()
    _ = line.opened(ok, at: start)
    return line
  }

  @Test("it opens at once; without a cursor everything before has to be asked for, with one nothing was missed")
  func opening() {
    var line = SubscriptionLine(at: Self.start)
    #expect(line.deadline == Self.start)
    #expect(line.open() == nil)
    #expect(line.deadline == nil)
    #expect(line.opened(Self.ok, at: Self.start) == .begun)
    #expect(line.isLive)
    var resumed = SubscriptionLine(remembered: Self.token(7), at: Self.start)
    #expect(resumed.open() == Self.token(7))
    #expect(resumed.opened(Self.ok, at: Self.start) == .resumed)
  }

  @Test("the next connection goes on from what was remembered, not from what was received")
  func atLeastOnce() {
    var line = Self.live()
    #expect(line.received(Self.event(3), at: Self.start) != .nonsense)
    line.remember(Self.token(3))
    #expect(line.received(Self.event(5), at: Self.start) != .nonsense)
    line.broke(.timedOut(name: "node"), at: Self.start)
    #expect(line.open() == Self.token(3))
    #expect(line.opened(Self.ok, at: Self.start) == .resumed)
    guard case .handle(let event) = line.received(Self.event(5), at: Self.start) else {
      Issue.record("the event that was not remembered comes again")
      return
    }
    #expect(event.cursor == Self.token(5))
  }

  @Test("pauses between attempts double from 1 s to 30 s, and begin anew after a connection that lasted")
  func pauses() {
    var line = SubscriptionLine(at: Self.start)
    var now = Self.start
    var waits: [Double] = []
    for _ in 0..<7 {
      _ = line.open()
      line.broke(.unreachable(name: "node", reason: "no route"), at: now)
      let deadline = line.deadline ?? now
      waits.append((deadline - now).seconds)
      now = deadline
    }
    #expect(waits == [1, 2, 4, 8, 16, 30, 30])
    _ = line.open()
    _ = line.opened(Self.ok, at: now)
    now = now + .seconds(31)
    line.broke(nil, at: now)
    #expect(line.deadline == now + .seconds(1))
  }

  @Test("a node that accepts and breaks at once is not asked every second")
  func flapping() {
    var line = SubscriptionLine(at: Self.start)
    var now = Self.start
    for _ in 0..<20 {
      _ = line.open()
      _ = line.opened(Self.ok, at: now)
      line.broke(nil, at: now)
      now = line.deadline ?? now
    }
    #expect(now - Self.start > .seconds(400))
  }

  @Test("a rate limit is waited for, however long the pause would be")
  func rateLimit() {
    var line = SubscriptionLine(at: Self.start)
    _ = line.open()
    line.broke(.rateLimited(name: "node", retryAfter: .seconds(90)), at: Self.start)
    #expect(line.deadline == Self.start + .seconds(90))
  }

  @Test("410 drops the cursor, and the next attempt begins anew")
  func gap() {
    var line = SubscriptionLine(remembered: Self.token(9), at: Self.start)
    _ = line.open()
    #expect(line.opened(Reply(.init(410, "ProgressGap")), at: Self.start) == .later)
    #expect(line.open() == nil)
    #expect(line.opened(Self.ok, at: Self.start) == .begun)
  }

  @Test("refusals are final until something changes", arguments: [400, 401, 403, 404, 409, 501])
  func refusals(code: Int) {
    var line = SubscriptionLine(at: Self.start)
    _ = line.open()
    #expect(line.opened(Reply(.init(code, "no")), at: Self.start) == .refused("\(code) no"))
    #expect(line.deadline == nil)
    line.broke(nil, at: Self.start)
    #expect(line.deadline == nil)
    line.restart(at: Self.start + .seconds(5))
    #expect(line.deadline == Self.start + .seconds(5))
  }

  @Test("what may pass is tried again", arguments: [408, 410, 429, 500, 503])
  func retryable(code: Int) {
    var line = SubscriptionLine(at: Self.start)
    _ = line.open()
    #expect(line.opened(Reply(.init(code, "later")), at: Self.start) == .later)
    #expect(line.deadline == Self.start + .seconds(1))
  }

  @Test(
    "a node that repeats itself, goes back, or speaks of another feed is left, and asked for everything",
    arguments: [
      event(4), event(3), event(9, epoch: "other"), event(9, stream: "other"), .endOfStored(token(3)),
    ])
  func nonsense(frame: SubscriptionFrame) {
    var line = Self.live()
    _ = line.received(Self.event(4), at: Self.start)
    line.remember(Self.token(4))
    #expect(line.received(frame, at: Self.start) == .nonsense)
    #expect(line.deadline == Self.start + .seconds(1))
    #expect(line.open() == nil)
  }

  @Test("the end of what was stored may stand at the place of the last event, and an event may not")
  func endOfStored() {
    var line = Self.live(after: Self.token(2))
    _ = line.received(Self.event(4), at: Self.start)
    #expect(line.received(.endOfStored(Self.token(4)), at: Self.start) == .pass(Self.token(4)))
    #expect(line.received(Self.event(5), at: Self.start) != .nonsense)
  }

  @Test("an error frame is final, except one about a gap")
  func errorFrames() {
    var line = Self.live()
    #expect(
      line.received(
        .failed(nil, code: "RecordsSubscribeDeliveryAuthorizationFailed", detail: "no role"), at: Self.start)
        == .ended(reason: "RecordsSubscribeDeliveryAuthorizationFailed: no role", isFinal: true))
    #expect(line.deadline == nil)
    var gapped = Self.live(after: Self.token(2))
    #expect(
      gapped.received(.failed(nil, code: "ProgressGap", detail: ""), at: Self.start)
        == .ended(reason: "ProgressGap: ", isFinal: false))
    #expect(gapped.open() == nil)
  }
}
