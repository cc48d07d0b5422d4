import Cryptography
import DWN
import Identity
import Wire

/// Names the positions of one tenant's feed, and tells which names it can go on from (dwn-server 9.4).
struct FeedTokens: Sendable {
  let streamID: String
  let epoch: String

  init(tenant: DID, epoch: String) {
    streamID = Hex.encode(SHA2.sha256(Array(tenant.text.utf8)).prefix(8))
    self.epoch = epoch
  }

  func token(_ position: Int64, cid: String? = nil) -> ProgressToken {
    ProgressToken(
      streamID: streamID, epoch: epoch, position: FeedPosition(UInt64(position)), messageCID: cid.flatMap { CID($0) })
  }

  /// The token of what stands at a position, or of the bare position if that is gone.
  func token(_ position: Int64, in reader: any MessageReader) throws -> ProgressToken {
    token(position, cid: try reader.feedEntry(at: position)?.cid)
  }

  /// What came of a reader's wish to go on from a token.
  enum Resumption: Sendable {
    case from(Int64)
    /// Status 410, with what the reader needs to know.
    case gap(Reply)
  }

  func resume(_ token: ProgressToken, in reader: any MessageReader) throws -> Resumption {
    let head = try reader.head()
    let reason: String
    if token.streamID != streamID {
      reason = "stream_mismatch"
    } else if token.epoch != epoch {
      reason = "epoch_mismatch"
    } else if let number = token.position.number, number <= UInt64(head) {
      let position = Int64(number)
      guard let cid = token.messageCID, let entry = try reader.feedEntry(at: position), entry.cid != cid.text else {
        return .from(position)
      }
      reason = "message_mismatch"
    } else {
      reason = "token_too_new"
    }
    let oldest = try reader.feed(FeedSpan(after: 0, through: head, limit: 1)).first
    return .gap(
      Reply(
        .init(410, "ProgressGap: \(reason)"),
        members: [
          "error": [
            "code": "ProgressGap", "requested": token.json,
            "oldestAvailable": self.token(oldest?.position ?? head, cid: oldest?.cid).json,
            "latestAvailable": try self.token(head, in: reader).json, "reason": .string(reason),
          ]
        ]))
  }
}

extension MessageReader {
  /// The message at a position of the feed; `nil` if it is gone.
  func feedEntry(at position: Int64) throws -> StoredMessage? {
    guard position > 0 else { return nil }
    return try feed(FeedSpan(after: position - 1, through: position, limit: 1)).first
  }
}
