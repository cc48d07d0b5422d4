import Cryptography
import DWN
import Identity
import Mesh
import TestSupport
import Testing
import Wire

/// The recorded network of `mesh-records.json`, as a reader meets it.
struct TrustVectors {
  static let file = "mesh/mesh-records.json"
  static let isHere = Fixtures.have(file)

  struct Message {
    let name: String
    let entry: ReplyEntry
    let element: String
    var isHead: Bool { name.hasPrefix("head ") }
  }

  struct State {
    let head: String
    let seq: Int64
    let epoch: Int64
    let asOf: WallTime
    let live: [String]
    let records: String
  }

  /// A message that is shown beside the recorded ones.
  struct Case: CustomTestStringConvertible {
    let name: String
    let reason: String
    let afterHead: String
    let entry: ReplyEntry
    var testDescription: String { name }
  }

  let identities: [String: MachineIdentity]
  let network: NetworkReference
  let messages: [Message]
  let states: [State]
  let json: JSONValue

  init() throws {
    json = try Fixtures.json(Self.file)
    var identities: [String: MachineIdentity] = [:]
    for identity in json["identities"]?.array ?? [] {
      let name = try #require(identity["name"]?.string)
      let seed = try #require(identity["seedHex"]?.string.flatMap { Hex.decode($0) })
      let machine: MachineIdentity = try #require(MachineIdentity(seed: SecretBytes(seed)))
      identities[name] = machine
    }
    self.identities = identities
    network = NetworkReference(
      id: try #require(json["networkId"]?.string.flatMap { NetworkID($0) }),
      anchor: try #require(identities["anchor"]).did)
    messages = try (json["messages"]?.array ?? []).map { message in
      Message(
        name: try #require(message["name"]?.string), entry: try Self.entry(message),
        element: try #require(message["element"]?.string))
    }
    states = try (json["states"]?.array ?? []).map { state in
      State(
        head: try #require(state["head"]?.string), seq: try #require(state["seq"]?.integer),
        epoch: try #require(state["epoch"]?.integer),
        asOf: try #require(state["asOf"]?.string.flatMap { WallTime(timestamp: $0) }),
        live: (state["live"]?.array ?? []).compactMap(\.string), records: try #require(state["records"]?.string))
    }
  }

  static func cases(_ name: String) -> [Case] {
    guard let json = try? Fixtures.json(file) else { return [] }
    return (json[name]?.array ?? []).map { item in
      guard let name = item["name"]?.string, let reason = item["reason"]?.string, let head = item["afterHead"]?.string,
        let entry = try? entry(item)
      else { fatalError("a case of \(name) cannot be read: \(item.text)") }
      return Case(name: name, reason: reason, afterHead: head, entry: entry)
    }
  }

  private static func entry(_ json: JSONValue) throws -> ReplyEntry {
    let data = try json["body_b64u"]?.string.map { try #require(Base64.decode($0)) }
    return ReplyEntry(message: try #require(json["message"]), data: data)
  }

  func identity(_ name: String) throws -> MachineIdentity { try #require(identities[name]) }

  func reader(_ name: String = "node-b") throws -> MeshReader {
    MeshReader(network: network, identity: try identity(name))
  }

  /// A reader that saw everything up to this head; after the last head, everything.
  func reader(after head: String) throws -> MeshReader {
    var reader = try reader()
    let last = try #require(messages.firstIndex { $0.name == head })
    let end = messages.contains { $0.name == "head \(Int64(head.dropFirst(5))! + 1)" } ? last + 1 : messages.count
    for message in messages[..<end] { _ = reader.offer([message.entry], at: TrustVectors.now, wall: TrustVectors.wall) }
    return reader
  }

  func message(_ name: String) throws -> Message { try #require(messages.first { $0.name == name }) }

  static let now = Instant(nanoseconds: 1_000_000_000_000)
  static let wall = WallTime(timestamp: "2026-11-21T12:01:00.000000Z")!
}

extension MeshReader {
  mutating func offer(_ entries: [ReplyEntry], _ extent: FetchExtent = .partial) -> OfferOutcome {
    offer(entries, extent: extent, at: TrustVectors.now, wall: TrustVectors.wall)
  }

  var view: MeshView? { view(at: TrustVectors.wall) }
}
