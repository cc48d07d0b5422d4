import DWN
import Testing
import Wire

@Suite("Progress tokens and subscription frames")
struct ProgressTokenTests {
  static let json: JSONValue = ["streamId": "6742201863cf8f21", "epoch": "e1", "position": "17"]

  @Test("a token survives its JSON, with and without the name of the message at its place")
  func roundTrip() throws {
    let token = try #require(ProgressToken(Self.json))
    #expect(token.json == Self.json)
    var named = token
    named.messageCID = CID(of: ["a": 1])
    #expect(ProgressToken(named.json) == named)
  }

  @Test(
    "a token without a stream or an epoch, or with a position that is no plain decimal number, is none",
    arguments: [
      ["epoch": "e", "position": "1"], ["streamId": "s", "position": "1"], ["streamId": "s", "epoch": "e"],
      ["streamId": "", "epoch": "e", "position": "1"], ["streamId": "s", "epoch": "e", "position": "01"],
      ["streamId": "s", "epoch": "e", "position": "-1"], ["streamId": "s", "epoch": "e", "position": 1],
      ["streamId": "s", "epoch": "e", "position": ""], ["streamId": "s", "epoch": "e", "position": "٣"],
      ["streamId": "s", "epoch": "e", "position": "1", "messageCid": "x"],
    ] as [JSONValue])
  func malformed(json: JSONValue) {
    #expect(ProgressToken(json) == nil)
  }

  @Test("positions are compared as numbers, also where they are larger than a machine word")
  func order() throws {
    let texts = ["0", "9", "10", "18446744073709551615", "18446744073709551616", "99999999999999999999"]
    let positions = try texts.map { try #require(FeedPosition($0)) }
    #expect(positions == positions.shuffled().sorted())
    #expect(positions[3].number == .max)
    #expect(positions[4].number == nil)
    #expect(FeedPosition(String(repeating: "1", count: 65)) == nil)
  }

  @Test("frames survive their JSON; an event's data stands beside it, and its name is computed")
  func frames() throws {
    let token = try #require(ProgressToken(Self.json))
    let message: JSONValue = ["descriptor": ["interface": "Records"]]
    let entry = ReplyEntry(message: message, data: [1, 2, 3], initialWrite: ["descriptor": [:]])
    let event = SubscriptionEvent(cursor: token, entry: entry, messageCID: CID(of: message), protocolURI: "https://p")
    for frame in [
      SubscriptionFrame.event(event), .endOfStored(token), .failed(token, code: "Code", detail: "why"),
      .failed(nil, code: "Code", detail: "why"),
    ] {
      #expect(SubscriptionFrame(frame.json) == frame)
    }
    #expect(SubscriptionFrame.event(event).json["event"]?["message"]?["encodedData"] == nil)
    var lie = try #require(SubscriptionFrame.event(event).json.object)
    lie["messageCid"] = .string(CID(of: ["b": 2]).text)
    #expect(SubscriptionFrame(.object(lie)) == .event(event))
  }

  @Test(
    "what is no frame is none",
    arguments: [
      ["type": "event", "cursor": json], ["type": "event", "event": ["message": [:]]], ["type": "eose"],
      ["type": "news", "cursor": json], ["cursor": json], [], "x",
    ] as [JSONValue])
  func noFrames(json: JSONValue) {
    #expect(SubscriptionFrame(json) == nil)
  }
}
