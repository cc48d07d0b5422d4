import DWN
import Identity
import Wire

/// Answers a MessagesRead: one message by its CID, with its data if that is here (dwn-server 9.5).
struct MessagesReading {
  let access: MessagesAccess
  let reader: any MessageReader

  func reply(to request: MessagesRead) throws -> NodeReply {
    guard let message = try reader.message(cid: request.messageCID.text) else {
      try access.authorizeReadingNothing(in: reader)
      return NodeReply(Reply(.init(404, "Not Found")))
    }
    try access.authorize(reading: message, in: reader)
    let entry: JSONObject = ["message": try message.message(), "messageCid": .string(message.cid)]
    let reply = Reply(.init(200, "OK"), members: ["entry": .object(entry)])
    guard let content = try reader.content(of: message) else { return NodeReply(reply) }
    return NodeReply(reply, content: content)
  }
}
