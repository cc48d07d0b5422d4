import DWN
import Identity
import Mesh
import TestSupport
import Wire

/// A node's lies, drawn from a seed: it edits, swaps, reorders, moves, replays, hides, repeats and invents what it shows.
struct RandomLiar: Sendable {
  let random: SeededRandom
  /// Whose signatures it can make: strangers, removed members, members that exceed their role.
  let accomplices: [MessageSigner]
  /// How many of a thousand answers are lies.
  var dishonesty: UInt64 = 600
  var time: @Sendable () -> WallTime

  func answer(_ request: Message, _ reply: Reply, _ history: FakeNode.History) -> Reply {
    guard draw(1000) < dishonesty else { return reply }
    switch request.kind {
    case .recordsQuery, .protocolsQuery: return list(reply, history)
    case .recordsRead: return single(reply, history)
    default: return receipt(reply)
    }
  }

  private func draw(_ bound: Int) -> Int { Int(random.next() % UInt64(max(1, bound))) }
  private func draw(_ bound: UInt64) -> UInt64 { random.next() % bound }

  private func list(_ honest: Reply, _ history: FakeNode.History) -> Reply {
    var entries = honest.members["entries"]?.array ?? []
    for _ in 0...draw(3) { entries = list(entries, history) }
    if draw(20) == 0 { return Reply(.init([200, 401, 404, 500, 202][draw(5)], "so it is")) }
    var members = honest.members
    members["entries"] = .array(entries)
    return Reply(honest.status, members: members)
  }

  private func list(_ honest: [JSONValue], _ history: FakeNode.History) -> [JSONValue] {
    var entries = honest
    switch draw(8) {
    case 0: entries.removeAll { _ in draw(2) == 0 }
    case 1:
      var generator = random
      entries.shuffle(using: &generator)
    case 2: entries += entries
    case 3:
      for index in entries.indices where draw(2) == 0 { entries[index] = edited(entries[index]) }
    case 4:
      if entries.count > 1 {
        let (a, b) = (draw(entries.count), draw(entries.count))
        let member = ["encodedData", "authorization", "descriptor", "contextId", "initialWrite", "encryption"][draw(6)]
        swapMember(member, &entries, a, b)
      }
    case 5:
      for _ in 0...draw(4) {
        if let old = history.entries.isEmpty ? nil : history.entries[draw(history.entries.count)] {
          entries.append(old.json)
        }
      }
    case 6:
      if let invented = invention(history) { entries.append(invented) }
    default:
      if !entries.isEmpty { entries[draw(entries.count)] = twin(entries[draw(entries.count)]) }
    }
    return entries
  }

  private func single(_ honest: Reply, _ history: FakeNode.History) -> Reply {
    switch draw(5) {
    case 0: return Reply(.init(404, "Not Found"))
    case 1:
      guard let old = history.entries.isEmpty ? nil : history.entries[draw(history.entries.count)] else {
        return honest
      }
      return Reply(.init(200, "OK"), members: ["entry": ["recordsWrite": old.message]], data: old.data)
    case 2:
      var members = honest.members
      members["entry"] = members["entry"].map { edited($0) }
      return Reply(honest.status, members: members, data: honest.data)
    case 3:
      var data = honest.data ?? []
      if !data.isEmpty { data[draw(data.count)] ^= 1 }
      return Reply(honest.status, members: honest.members, data: data)
    default: return Reply(.init([401, 410, 500, 200][draw(4)], "so it is"))
    }
  }

  private func receipt(_ honest: Reply) -> Reply {
    switch draw(3) {
    case 0: Reply(.init(202, "Accepted"))
    case 1: Reply(.init(409, "Conflict"))
    default: Reply(.init(500, "Something broke"))
    }
  }

  /// One text, number or list somewhere inside is other than it was.
  private func edited(_ value: JSONValue) -> JSONValue {
    switch value {
    case .object(var object):
      guard !object.isEmpty else { return ["x": 1] }
      let name = object.names[draw(object.count)]
      switch draw(12) {
      case 0: object[name] = nil
      case 1: object["unexpected"] = "member"
      default: object[name] = edited(object[name]!)
      }
      return .object(object)
    case .array(var items):
      guard !items.isEmpty else { return ["x"] }
      let index = draw(items.count)
      items[index] = edited(items[index])
      return .array(items)
    case .string(let text):
      var bytes = Array(text.utf8)
      guard !bytes.isEmpty else { return "x" }
      bytes[draw(bytes.count)] = [UInt8](("abcXYZ019").utf8)[draw(9)]
      return .string(String(decoding: bytes, as: UTF8.self))
    case .integer(let number): return .integer(number + 1)
    case .bool(let bool): return .bool(!bool)
    default: return "x"
    }
  }

  private func swapMember(_ name: String, _ entries: inout [JSONValue], _ a: Int, _ b: Int) {
    guard var first = entries[a].object, var second = entries[b].object else { return }
    (first[name], second[name]) = (second[name], first[name])
    entries[a] = .object(first)
    entries[b] = .object(second)
  }

  /// The same message with other bytes where no signature covers them.
  private func twin(_ entry: JSONValue) -> JSONValue {
    guard var object = entry.object, var authorization = object["authorization"]?.object,
      var signature = authorization["signature"]?.object
    else { return entry }
    if draw(2) == 0 {
      signature["note"] = "hello"
    } else if var first = signature["signatures"]?.array?.first?.object, let text = first["signature"]?.string {
      first["signature"] = .string(String(text.dropLast()) + (text.hasSuffix("A") ? "B" : "A"))
      signature["signatures"] = [.object(first)]
    }
    authorization["signature"] = .object(signature)
    object["authorization"] = .object(authorization)
    return .object(object)
  }

  /// Something new in the manner of something old, with a good signature of somebody who may not.
  private func invention(_ history: FakeNode.History) -> JSONValue? {
    guard !accomplices.isEmpty, !history.entries.isEmpty else { return nil }
    let signer = accomplices[draw(accomplices.count)]
    let model = history.entries[draw(history.entries.count)]
    if model.message["descriptor"]?["definition"] != nil, let definition = model.message["descriptor"]?["definition"] {
      return signer.protocolsConfigure(definition, at: time()).message.value
    }
    guard let message = try? Message(model.message),
      let signed = try? SignedMessage(checking: message, resolver: OfflineResolver()),
      let write = try? RecordsWrite(signed)
    else { return nil }
    let data = model.data ?? []
    let encryption = write.encryption.map { JSONValue.object($0) }
    let draft: RecordDraft
    if draw(2) == 0 {
      draft = RecordDraft(updating: write, encryption: encryption, data: data)
    } else {
      draft = RecordDraft(
        protocolURI: write.protocolURI, path: write.path, parent: write.contextID.parent, schema: write.schema,
        recipient: draw(2) == 0 ? write.recipient : signer.did, tags: write.tags, squash: write.squash,
        encryption: encryption, data: data)
    }
    let invented = signer.recordsWrite(draft, at: time())
    return ReplyEntry(
      message: invented.message.value, data: data,
      initialWrite: invented.isInitial ? nil : model.initialWrite ?? model.message
    ).json
  }
}
