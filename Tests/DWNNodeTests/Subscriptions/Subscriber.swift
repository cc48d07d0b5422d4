import DWN
import Identity
import Wire

@testable import DWNNode

/// Who follows a tenancy's records in this process, and reads what it is told.
struct Subscriber {
  let reply: Reply
  let source: any SubscriptionSource

  /// The next frame in words: what an event's data says, or `deleted`, `eose`, `error` with its code, `end`.
  func next() async throws -> String {
    guard let frame = try await source.next() else { return "end" }
    switch frame {
    case .event(let event):
      if event.entry.message["descriptor"]?["method"] == "Delete" { return "deleted" }
      return String(decoding: event.entry.data ?? [], as: UTF8.self)
    case .endOfStored: return "eose"
    case .failed(_, let code, _): return "error \(code)"
    }
  }

  /// So many frames, in words.
  func next(_ count: Int) async throws -> [String] {
    var frames: [String] = []
    for _ in 0..<count { frames.append(try await next()) }
    return frames
  }

  /// The next frame, which must be an event.
  func event() async throws -> SubscriptionEvent {
    let frame = try await source.next()
    guard case .event(let event) = frame else { throw TestTenancy.Unexpected(text: "\(String(describing: frame))") }
    return event
  }

  /// Takes and acknowledges what comes, up to the end of what was stored.
  func untilEndOfStored() async throws -> [SubscriptionEvent] {
    var events: [SubscriptionEvent] = []
    while let frame = try await source.next() {
      if let cursor = frame.cursor { source.acknowledge(cursor) }
      guard case .event(let event) = frame else { return events }
      events.append(event)
    }
    throw TestTenancy.Unexpected(text: "ended before the end of what was stored")
  }
}

extension TestTenancy {
  /// A subscription that must be opened.
  func subscribe(
    _ reader: Person, _ filter: RecordsFilter = RecordsFilter(protocolURI: TestTenancy.protocolURI),
    cursor: ProgressToken? = nil, role: ProtocolPath? = nil
  ) async throws -> Subscriber {
    let (reply, source) = try await attemptSubscribe(reader, filter, cursor: cursor, role: role)
    guard reply.status.code == 200, let source else { throw Unexpected(text: "\(reply.status)") }
    return Subscriber(reply: reply, source: source)
  }

  func attemptSubscribe(
    _ reader: Person, _ filter: RecordsFilter, cursor: ProgressToken? = nil, role: ProtocolPath? = nil
  ) async throws -> (reply: Reply, frames: (any SubscriptionSource)?) {
    let message = reader.signer.recordsSubscribe(filter, cursor: cursor, at: tick(), role: role)
    return try await node.subscribe(tenant: alice.did, message: message.message.value)
  }

  /// Before the first entry of the tenant's feed.
  var beginning: ProgressToken {
    get async throws {
      // Any subscription of another feed is told what this one is called.
      let stray = ProgressToken(streamID: "0", epoch: "0", position: FeedPosition(0))
      let (reply, _) = try await attemptSubscribe(
        alice, RecordsFilter(protocolURI: Self.protocolURI), cursor: stray)
      guard let latest = reply.members["error"]?["latestAvailable"].flatMap({ ProgressToken($0) }) else {
        throw Unexpected(text: "\(reply.status)")
      }
      return ProgressToken(streamID: latest.streamID, epoch: latest.epoch, position: FeedPosition(0))
    }
  }
}
