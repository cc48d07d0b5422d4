import DWN
import Foundation
import Identity
import Testing
import Wire

@testable import DWNNode

/// A place where a store lives: what is opened there again has what was there before.
struct StoreHome: Sendable {
  /// The stores that keep the contract. A new one is added here.
  enum Kind: String, CaseIterable, Sendable, CustomTestStringConvertible {
    case sqlite = "SQLite"
    case model = "the model"

    var testDescription: String { rawValue }
  }

  let folder: URL
  private let kind: Kind
  private let disk: ModelStore.Disk

  init(_ kind: Kind) throws {
    self.kind = kind
    folder = FileManager.default.temporaryDirectory.appendingPathComponent("store-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    disk = ModelStore.Disk(folderPath: folder.appendingPathComponent("model-data").path)
  }

  func open() throws -> any MessageStore {
    switch kind {
    case .sqlite: try SQLiteMessageStore(path: folder.appendingPathComponent("node.sqlite").path)
    case .model: ModelStore(disk)
    }
  }

  func remove() { try? FileManager.default.removeItem(at: folder) }
}

/// Messages as the node gives them to a store. Nothing in them is signed: a store does not look.
enum SampleMessages {
  static let alice = DID("did:example:alice")!
  static let bob = DID("did:example:bob")!
  static let carol = DID("did:example:carol")!
  static let people = [alice, bob, carol]
  static let protocolURI = "https://example.org/contract"

  static func time(_ number: Int) -> WallTime { WallTime(seconds: 1_800_000_000) + .milliseconds(Int64(number)) }

  /// A first write that stands for its record.
  static func write(
    _ record: String, at path: ProtocolPath = "box", below parent: ContextID? = nil, by author: DID = alice,
    time number: Int = 0, tags: JSONObject? = nil, size: Int = 2
  ) -> StoredMessage {
    let id = RecordID(record)!
    let time = time(number)
    return StoredMessage(
      kind: .write, cid: "cid-\(record)-\(number)", element: "element-\(record)-\(number)", author: author,
      timestamp: time, json: json(tags), protocolURI: protocolURI,
      place: .init(
        recordID: id, contextID: parent.map { ContextID($0, id) } ?? ContextID(root: id), path: path, dateCreated: time),
      content: .init(
        dataFormat: "application/json", dataCID: DataCID.of(Array(record.utf8)), dataSize: size, isPublished: false,
        isSquash: false, isInitial: true, tags: tags),
      isLatest: true)
  }

  /// Those parts of a message's text that a store looks at.
  static func json(_ tags: JSONObject?, isEncrypted: Bool = false) -> String {
    var descriptor = JSONObject()
    descriptor["tags"] = tags.map { .object($0) }
    var message: JSONObject = ["descriptor": .object(descriptor)]
    if isEncrypted { message["encryption"] = [:] }
    return JSONValue.object(message).text
  }

  static func configure(_ uri: String, time number: Int) -> StoredMessage {
    StoredMessage(
      kind: .configure, cid: "cid-\(uri)-\(number)", element: "element-\(uri)-\(number)", author: alice,
      timestamp: time(number), json: "{}", protocolURI: uri, isLatest: true)
  }
}

extension StoredMessage {
  /// As it is read back when data came with it.
  var holdingData: StoredMessage {
    var message = self
    message.hasData = true
    return message
  }
}
