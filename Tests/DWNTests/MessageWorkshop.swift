import Cryptography
import DWN
import Identity
import TestSupport
import Testing
import Wire

/// Makes messages, also wrong ones, and signs them as they are.
struct MessageWorkshop {
  let identity = MachineIdentity.generate(random: SeededRandom(2026))
  let stranger = MachineIdentity.generate(random: SeededRandom(2027))
  let time = WallTime(timestamp: "2026-11-21T12:00:00.000000Z")!

  var signer: MessageSigner { MessageSigner(identity) }

  /// A child record with every optional member.
  var write: RecordsWrite {
    var draft = RecordDraft(
      protocolURI: "https://example.com/notes", path: "thread/note", parent: ContextID("bafyparent"),
      schema: "https://example.com/schemas/note", recipient: stranger.did,
      tags: ["kind": "memo", "count": 2, "list": ["a"]],
      published: true, squash: true, encryption: ["recipients": ["any"]], data: Array("hello".utf8))
    draft.dataFormat = "text/plain"
    return signer.recordsWrite(draft, at: time)
  }

  /// A root record with none.
  var plainWrite: RecordsWrite {
    signer.recordsWrite(
      RecordDraft(protocolURI: "https://example.com/notes", path: "thread", data: Array("{}".utf8)), at: time)
  }

  func check(_ json: JSONValue) throws(DWNError) -> SignedMessage {
    try SignedMessage(checking: Message(json), resolver: OfflineResolver())
  }

  /// Puts a change into a message without signing it again. `nil` takes the member away.
  func changing(_ json: JSONValue, _ place: String, to value: JSONValue?) -> JSONValue {
    changing(json, place.split(separator: "/")[...], to: value)
  }

  private func changing(_ json: JSONValue, _ place: ArraySlice<Substring>, to value: JSONValue?) -> JSONValue {
    guard let name = place.first.map(String.init) else { return value ?? .null }
    let rest = place.dropFirst()
    if var items = json.array, let index = Int(name) {
      items[index] = changing(items[index], rest, to: value)
      return .array(items)
    }
    var object = json.object ?? [:]
    object[name] = rest.isEmpty ? value : changing(object[name] ?? .null, rest, to: value)
    return .object(object)
  }

  /// Signs a message for what it says now, whatever that is. `payload` changes what is signed.
  func signing(_ json: JSONValue, payload change: (inout JSONObject) -> Void = { _ in }) -> JSONValue {
    var payload = JSONObject()
    payload["descriptorCid"] = .string(CID(of: json["descriptor"] ?? [:]).text)
    payload["recordId"] = json["recordId"]
    payload["contextId"] = json["contextId"]
    payload["encryptionCid"] = json["encryption"].map { .string(CID(of: $0).text) }
    change(&payload)
    let jws = GeneralJWS.sign(JSONValue.object(payload).encoded, with: identity)
    return changing(json, "authorization", to: ["signature": jws.json])
  }

  /// The message of a changed descriptor as a new record: its id follows, the context ends with it, and it is signed.
  func initialWrite(_ json: JSONValue, parent: ContextID? = nil) throws -> JSONValue {
    let descriptor = try #require(json["descriptor"]?.object)
    let id = RecordsWrite.entryID(of: descriptor, author: identity.did)
    var json = changing(json, "recordId", to: .string(id.text))
    let context = parent.map { ContextID($0, id) } ?? ContextID(root: id)
    json = changing(json, "contextId", to: .string(context.text))
    return signing(json)
  }
}
