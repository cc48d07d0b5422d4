import DWN

/// What the node answers. Data that is too large for memory stays in its file until it is read.
struct NodeReply: Sendable {
  /// With its data if that is in memory.
  var reply: Reply
  private(set) var file: DataFile?

  init(_ reply: Reply) { self.reply = reply }

  init(_ reply: Reply, content: MessageData) {
    self.reply = reply
    switch content {
    case .bytes(let bytes): self.reply.data = bytes
    case .file(let file): self.file = file
    }
  }

  /// With all of the data, for those who have the room.
  func inMemory() throws(NodeError) -> Reply {
    guard let file else { return reply }
    var reply = reply
    reply.data = try file.read(0..<file.size)
    return reply
  }
}
